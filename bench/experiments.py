"""The experiments: what each runs, how often and in which order, and its results."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.measure import MemoryWatch, Series, ServingWatch
from bench.stack import PLAIN_DOMAIN, EmptyProgram, PlainScript, Stack
from bench.timeline import Entry, Recorder, medians

CODE_CHANGE_TARGET = 2.4
"""The target of a code change: at most this many times the plain script's time."""
NO_OP_TARGET = 2.0
"""The target of an update without a change: at most this many times the time of an empty program."""
GROWTH_RUNS = 3
"""Repetitions at each number of hosts. A cold update is measured once."""

Say = Callable[[str], None]
"""Prints a line about the progress."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Measurement:
    """One line of the results."""

    experiment: str
    what: str
    unit: str
    series: Series
    app_hosts: int


@dataclass(frozen=True)
class Ratio:
    """How many times as long one thing takes as another. The two of a pair were measured one after the other."""

    experiment: str
    what: str
    series: Series
    target: float | None
    """The highest allowed ratio; None if it has no target."""


@dataclass
class Results:
    """All results."""

    measurements: list[Measurement] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    timelines: dict[str, list[Entry]] = field(default_factory=dict)
    """Timelines, by the name of what was run."""

    def add(self, experiment: str, what: str, unit: str, values: list[float], app_hosts: int) -> Series:
        """Add a measurement."""
        series = Series(tuple(values))
        self.measurements.append(Measurement(experiment, what, unit, series, app_hosts))
        return series

    def compare(
        self, experiment: str, what: str, values: list[float], with_: list[float], target: float | None
    ) -> None:
        """Add the ratio of two series, pair by pair."""
        pairs = tuple(value / other for value, other in zip(values, with_, strict=True))
        self.ratios.append(Ratio(experiment, what, Series(pairs), target))


def code_change(stack: Stack, results: Results, runs: int, app_hosts: int, say: Say) -> None:
    """The time until all hosts serve a changed line of code: `slip up`, `pulumi up` and the plain script in turn."""
    plain = PlainScript.of(stack)
    urls = stack.urls()
    contenders: dict[str, tuple[Callable[[], float], str | None]] = {
        "./slip up": (stack.slip_up, None),
        "pulumi up": (stack.pulumi_up, None),
        "plain script": (plain.up, PLAIN_DOMAIN),
    }
    for up in (stack.slip_up, plain.up):
        # Not measured, because the script's first roll-out has no old version to remove.
        stack.change_code(f"warm-up {next(_numbers)}")
        up()
    served: dict[str, list[float]] = {name: [] for name in contenders}
    ended: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, runs + 1):
        for name, (up, domain) in contenders.items():
            # Each gets a change of its own, because the engine caches builds.
            greeting = f"version {next(_numbers)} of {name}"
            stack.change_code(greeting)
            watch = ServingWatch(urls, greeting, domain)
            ended[name].append(up())
            served[name].append(watch.seconds())
        say(f"code change {number} of {runs}: " + ", ".join(f"{n} {served[n][-1]:.2f} s" for n in contenders))
    for name in contenders:
        results.add("code change", f"{name}, until all hosts serve it", "s", served[name], app_hosts)
        results.add("code change", f"{name}, until it ends", "s", ended[name], app_hosts)
    for name in ("./slip up", "pulumi up"):
        for what, times in (("until all hosts serve it", served), ("until it ends", ended)):
            results.compare(
                "code change",
                f"{name} / plain script, {what}",
                times[name],
                times["plain script"],
                CODE_CHANGE_TARGET,
            )


def timeline(stack: Stack, results: Results, runs: int, say: Say) -> None:
    """The timeline of a code change."""
    recorded = []
    for number in range(1, runs + 1):
        stack.change_code(f"version {next(_numbers)}")
        recorder = Recorder()
        with recorder.recording() as (log, started):
            seconds = stack.pulumi_up("--event-log", log, started=started)
        recorded.append(recorder.entries())
        say(f"timeline {number} of {runs}: {seconds:.2f} s")
    results.timelines["a code change, bare pulumi up"] = medians(recorded)


def no_op(
    stack: Stack, results: Results, runs: int, app_hosts: int, say: Say, experiment: str = "no change"
) -> None:
    """The time of an update without a change: `slip up`, `pulumi up` and `pulumi up` of an empty program in turn."""
    empty = EmptyProgram.of(stack)
    stack.slip_up()
    contenders: dict[str, Callable[[], float]] = {
        "./slip up": stack.slip_up,
        "pulumi up": stack.pulumi_up,
        "pulumi up of an empty program": empty.up,
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, runs + 1):
        for name, up in contenders.items():
            times[name].append(up())
        say(f"{experiment} {number} of {runs}: " + ", ".join(f"{n} {times[n][-1]:.2f} s" for n in contenders))
    for name in contenders:
        results.add(experiment, name, "s", times[name], app_hosts)
    for name in ("./slip up", "pulumi up"):
        results.compare(
            experiment,
            f"{name} / empty program",
            times[name],
            times["pulumi up of an empty program"],
            NO_OP_TARGET,
        )


def memory(stack: Stack, results: Results, runs: int, app_hosts: int, say: Say) -> None:
    """Peak memory of an update without a change. In separate runs, since measuring memory takes time."""
    empty = EmptyProgram.of(stack)
    stack.slip_up()
    for name, up in (("./slip up", stack.slip_up), ("pulumi up of an empty program", empty.up)):
        watches = []
        for _ in range(runs):
            watch = MemoryWatch()
            with watch.watching() as started:
                up(started=started)
            watches.append(watch)
        peak = results.add(
            "no change", f"peak memory, {name}", "MiB", [watch.peak_mib for watch in watches], app_hosts
        )
        results.add(
            "no change",
            f"processes at the peak, {name}",
            "",
            [float(w.peak_processes) for w in watches],
            app_hosts,
        )
        say(f"peak memory of {name}: {peak.median:.0f} MiB")


def cold(stack: Stack, results: Results, runs: int, app_hosts: int, say: Say) -> None:
    """The first update of a stack, and its removal. The stack is up before and after."""
    downs, ups, peaks, recorded = [], [], [], []
    for number in range(1, runs + 1):
        downs.append(stack.down())
        memory_watch, recorder = MemoryWatch(), Recorder()
        with memory_watch.watching() as look, recorder.recording() as (log, follow):
            ups.append(stack.slip("up", "--", "--event-log", log, started=both(look, follow)))
        peaks.append(memory_watch.peak_mib)
        recorded.append(recorder.entries())
        say(f"cold {number} of {runs}: up {ups[-1]:.1f} s, down {downs[-1]:.1f} s, {peaks[-1]:.0f} MiB")
    results.add("cold", "./slip up", "s", ups, app_hosts)
    results.add("cold", "peak memory, ./slip up", "MiB", peaks, app_hosts)
    results.add("cold", "./slip down --purge", "s", downs, app_hosts)
    results.timelines["a cold ./slip up"] = medians(recorded)


def both(first: Callable[[int], None], second: Callable[[int], None]) -> Callable[[int], None]:
    """One function that calls two."""

    def call(pid: int) -> None:
        first(pid)
        second(pid)

    return call


def growth(stack: Stack, results: Results, runs: int, sizes: list[int], say: Say) -> None:
    """The same measurements at several numbers of app hosts. The stack may be down before."""
    for size in sizes:
        say(f"{size} app hosts …")
        if stack.is_configured:
            stack.down()
        stack.configure(size)
        watch = MemoryWatch()
        with watch.watching() as started:
            up = stack.slip("up", started=started)
        results.add("growth", "cold ./slip up", "s", [up], size)
        results.add("growth", "peak memory, cold ./slip up", "MiB", [watch.peak_mib], size)
        _everyday(stack, results, runs, size, say)


def _everyday(stack: Stack, results: Results, runs: int, size: int, say: Say) -> None:
    urls = stack.urls()
    unchanged, changed, peaks = [], [], []
    stack.change_code(f"warm-up {next(_numbers)}")
    stack.slip_up()
    for _ in range(runs):
        unchanged.append(stack.slip_up())
        memory_watch = MemoryWatch()
        with memory_watch.watching() as started:
            stack.slip_up(started=started)
        peaks.append(memory_watch.peak_mib)
        greeting = f"version {next(_numbers)}"
        stack.change_code(greeting)
        watch = ServingWatch(urls, greeting)
        stack.slip_up()
        changed.append(watch.seconds())
    for what, unit, values in (
        ("./slip up without a change", "s", unchanged),
        ("peak memory, ./slip up without a change", "MiB", peaks),
        ("code change until all hosts serve it, ./slip up", "s", changed),
    ):
        series = results.add("growth", what, unit, values, size)
        say(f"  {what}: {series.median:.2f} {unit}")
