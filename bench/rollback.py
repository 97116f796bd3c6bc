"""How long a service takes to be back at a good version, on all hosts: `slip rollback`, and the plain script."""

from pathlib import Path

from bench.experiments import Results, Say
from bench.measure import BenchError, ServingWatch
from bench.stack import PLAIN_DOMAIN, PlainScript, Stack

TARGET = 1.0
"""The target: at most the plain script's time."""
FAILURES = 9
"""Deployments in a row that fail before the first rollback."""
CONFIG = "app/config.json"


def rollback(stack: Stack, results: Results, runs: int, app_hosts: int, say: Say) -> None:
    """Go back after deployments that failed, then back and forth: nothing builds, pushes or pulls."""
    plain = PlainScript.of(stack)
    urls = stack.urls()
    greetings = ("rollback: version one", "rollback: version two")
    numbers, references = [], []
    for greeting in greetings:
        stack.change_code(greeting)
        stack.slip_up()
        plain.up()
        numbers.append(stack.version("web"))
        references.append(plain.reference())
    _fail(stack, say)
    after = {
        "./slip rollback": [stack.slip("rollback", "web", "--yes")],
        "plain script": [plain.roll_back(references[1])],
    }
    if stack.version("web") != numbers[1]:
        raise BenchError(f"the rollback went to version {stack.version('web')} in place of {numbers[1]}")
    _report(results, app_hosts, f"after {FAILURES} failed deployments", after)
    served: dict[str, list[float]] = {name: [] for name in after}
    ended: dict[str, list[float]] = {name: [] for name in after}
    for number in range(1, runs + 1):
        to = (number - 1) % 2
        watch = ServingWatch(urls, greetings[to], None)
        ended["./slip rollback"].append(stack.slip("rollback", "web", "--to", str(numbers[to]), "--yes"))
        served["./slip rollback"].append(watch.seconds())
        watch = ServingWatch(urls, greetings[to], PLAIN_DOMAIN)
        ended["plain script"].append(plain.roll_back(references[to]))
        served["plain script"].append(watch.seconds())
        say(
            f"rollback {number} of {runs}: "
            + ", ".join(f"{name} {served[name][-1]:.2f} s" for name in served)
        )
    _report(results, app_hosts, "until all hosts serve it", served)
    _report(results, app_hosts, "until it ends", ended)


def _fail(stack: Stack, say: Say) -> None:
    """Deploy versions of the app that crash at their start."""
    config = Path(stack.root) / CONFIG
    good = config.read_text()
    for number in range(1, FAILURES + 1):
        config.write_text(f"version {number} that crashes")
        try:
            stack.slip_up()
        except BenchError:
            say(f"deployment {number} of {FAILURES} failed, as it should")
        else:
            raise BenchError("a version that crashes at its start was deployed")
    config.write_text(good)


def _report(results: Results, app_hosts: int, what: str, times: dict[str, list[float]]) -> None:
    for name, seconds in times.items():
        results.add("rollback", f"{name}, {what}", "s", seconds, app_hosts)
    results.compare(
        "rollback",
        f"./slip rollback / plain script, {what}",
        times["./slip rollback"],
        times["plain script"],
        TARGET,
    )
