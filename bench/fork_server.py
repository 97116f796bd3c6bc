"""Whether the plugins' fork server pays: an update without a change, with it and without it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bench.experiments import Results, Say
from bench.measure import run
from bench.stack import NAME, Stack

SWITCH = "SLIPWAY_FORK_SERVER"
TARGET = 0.9
"""Most that an update with the fork server may take, in times of one without it: else it goes."""
_WITH, _WITHOUT = "with the fork server", "without it"


def fork_server(stack: Stack, results: Results, runs: int, app_hosts: int, say: Say) -> None:
    """`./slip up` without a change, with and without the fork server in turn, in an order that changes each time."""
    seconds: dict[str, list[float]] = {_WITH: [], _WITHOUT: []}
    cpu: dict[str, list[float]] = {_WITH: [], _WITHOUT: []}
    environments = {_WITH: stack.environment, _WITHOUT: stack.environment | {SWITCH: "off"}}
    for environment in environments.values():
        run(["./slip", "up", "--stack", NAME], stack.root, environment)
    for number in range(1, runs + 1):
        order = (_WITH, _WITHOUT) if number % 2 else (_WITHOUT, _WITH)
        for what in order:
            with _cpu_seconds() as meter:
                command = ["sh", "-c", f'{meter.enter}exec ./slip up --stack "$0"', NAME]
                seconds[what].append(run(command, stack.root, environments[what]))
            if meter.seconds is not None:
                cpu[what].append(meter.seconds)
        say(f"fork server {number} of {runs}: " + ", ".join(f"{n} {s[-1]:.2f} s" for n, s in seconds.items()))
    for values, unit, kind in ((seconds, "s", "time"), (cpu, "s", "CPU time")):
        if values[_WITH]:
            for what in (_WITH, _WITHOUT):
                results.add(
                    "fork server",
                    f"./slip up without a change, {kind}, {what}",
                    unit,
                    values[what],
                    app_hosts,
                )
            target = TARGET if kind == "time" else None
            name = f"{kind} of ./slip up without a change, {_WITH} / {_WITHOUT}"
            results.compare("fork server", name, values[_WITH], values[_WITHOUT], target)


class _Meter:
    """CPU seconds of a control group; of none if this user cannot make control groups."""

    def __init__(self, group: Path | None) -> None:
        self.enter = f"echo $$ >{group}/cgroup.procs && " if group else ""
        """What a shell does first to be measured."""
        self.seconds: float | None = None


@contextlib.contextmanager
def _cpu_seconds() -> Iterator[_Meter]:
    """Give a meter that knows, after the block, the CPU time of all that the shell has started.

    The times of children would lack the plugins: those that the fork server forks are not waited for.
    """
    group = _new_group()
    meter = _Meter(group)
    try:
        yield meter
        if group:
            meter.seconds = _used(group)
    finally:
        if group:
            _end(group)


def _new_group() -> Path | None:
    for root in (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup")):
        group = root / f"slipway-bench-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            return group
    return None


def _used(group: Path) -> float:
    version_1 = group / "cpuacct.usage"
    if version_1.exists():
        return int(version_1.read_text()) / 1e9
    numbers = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(numbers["usage_usec"]) / 1e6


def _end(group: Path) -> None:
    """Remove the group; what is left in it, such as a fork server that is just ending, goes to the group above."""
    for process in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):
            (group.parent / "cgroup.procs").write_text(process)
    with contextlib.suppress(OSError):
        group.rmdir()
