"""`python -m bench`, which `make bench` runs."""

import signal
from enum import StrEnum
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from bench import (
    experiments,
    fleet,
    fork_server,
    proxy,
    registry,
    report,
    rollback,
    rotation,
    services,
    verify,
)
from bench.experiments import Results
from bench.measure import BenchError
from bench.stack import prepared

APP_HOSTS = 2
"""App hosts in all experiments but `growth` and `fleet`."""


class Experiment(StrEnum):
    """The experiments."""

    CODE_CHANGE = "code-change"
    ROLLBACK = "rollback"
    TIMELINE = "timeline"
    NO_OP = "no-op"
    FORK_SERVER = "fork-server"
    MEMORY = "memory"
    COLD = "cold"
    VERIFY = "verify"
    ROTATION = "rotation"
    REGISTRY = "registry"
    PROXY = "proxy"
    STATEFUL = "stateful"
    TEN_SERVICES = "ten-services"
    GROWTH = "growth"
    FLEET = "fleet"


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1 or max(sizes) > 99:
        raise typer.BadParameter(f"{text}: use numbers from 1 to 99, such as 1,2,4,8")
    return sizes


def main(
    only: Annotated[
        list[Experiment] | None, typer.Option(help="Run only this experiment; may be repeated.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="How often each measurement is repeated.")] = 5,
    hosts: Annotated[str, typer.Option(help="Numbers of app hosts for `growth`.")] = "1,2,4,8",
    fleets: Annotated[str, typer.Option(help="Numbers of app hosts for `fleet`.")] = "2,8",
    seconds: Annotated[
        int, typer.Option(min=1, help="How long each load of `registry` lasts, and all of `proxy`.")
    ] = 120,
) -> None:
    """Measure updates of a stack that is made for this and removed at the end.

    The toolchain and the images of this machine's Docker Engine, the hosts' image included, exist before a measurement
    begins. A cold update builds the app's base image. Prints tables and writes JSON to bench/results.
    """
    sizes, fleet_sizes = _sizes(hosts), _sizes(fleets)
    chosen = set(only or Experiment)
    progress = Console(stderr=True, highlight=False)

    def say(text: str) -> None:
        progress.print(text, markup=False, soft_wrap=True)

    signal.signal(signal.SIGTERM, _interrupt)
    # Background processes of a shell ignore SIGINT, and Pulumi's processes would inherit that. The CLI ends its plugins
    # with SIGINT, and waits five seconds for one that ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    results = Results()
    try:
        with prepared() as stack:
            if chosen - {Experiment.GROWTH, Experiment.FLEET, Experiment.PROXY}:
                stack.configure(APP_HOSTS)
                say("bringing the stack up …")
                stack.slip_up()
            if Experiment.CODE_CHANGE in chosen:
                experiments.code_change(stack, results, runs, APP_HOSTS, say)
            if Experiment.ROLLBACK in chosen:
                rollback.rollback(stack, results, runs, APP_HOSTS, say)
            if Experiment.TIMELINE in chosen:
                experiments.timeline(stack, results, runs, say)
            if Experiment.NO_OP in chosen:
                experiments.no_op(stack, results, runs, APP_HOSTS, say)
            if Experiment.FORK_SERVER in chosen:
                fork_server.fork_server(stack, results, runs, APP_HOSTS, say)
            if Experiment.MEMORY in chosen:
                experiments.memory(stack, results, runs, APP_HOSTS, say)
            if Experiment.COLD in chosen:
                experiments.cold(stack, results, runs, APP_HOSTS, say)
            if Experiment.VERIFY in chosen:
                verify.verify(stack, results, runs, APP_HOSTS, say)
            if Experiment.ROTATION in chosen:
                rotation.rotation(stack, results, runs, APP_HOSTS, say)
            if Experiment.REGISTRY in chosen:
                registry.registry(stack, results, seconds, APP_HOSTS, say)
            if Experiment.PROXY in chosen:
                proxy.proxy(results, runs, seconds, say)
            if Experiment.STATEFUL in chosen:
                services.stateful(stack, results, runs, APP_HOSTS, say)
            if Experiment.TEN_SERVICES in chosen:
                services.ten_services(stack, results, runs, APP_HOSTS, say)
            if Experiment.GROWTH in chosen:
                experiments.growth(stack, results, min(runs, experiments.GROWTH_RUNS), sizes, say)
            if Experiment.FLEET in chosen:
                fleet.fleet(stack, results, runs, fleet_sizes, say)
            say("removing the stack …")
    except BenchError as error:
        say(f"bench: {error}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        say("bench: interrupted")
        raise typer.Exit(130) from None
    finally:
        if results.measurements or results.timelines:
            report.show(results, report.console())
            say(f"written to {report.write(results, runs)}")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
