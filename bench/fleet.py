"""What an update costs in a small fleet and in a larger one: times, and counts that depend on no plugin's speed.

Counted are provider processes, the calls to them by method, SSH connections, and requests to the engines of hosts.
Each is counted where it arrives, so that stand-ins and official plugins count alike: in the Pulumi engine's own log of
its calls, in the hosts' log of logins, and in what each engine says of its requests while it is told to.
"""

import contextlib
import json
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import child_environment
from bench.experiments import Results, Say
from bench.measure import BenchError, ServingWatch
from bench.stack import NAME, Stack
from bench.timeline import Recorder, medians

NO_OP_GROWTH, CODE_CHANGE_GROWTH = 1.2, 2.0
"""The targets: at most this many times as long in the larger fleet as in the smaller one."""
BATCH = "50%"
"""How many hosts get a version at the same time: the same number of batches in each fleet."""
TIMELINES = 3
"""How many code changes a timeline is the median of, at most."""

_CALL = "/pulumirpc.ResourceProvider/"
_ENDED = "response_completed"
_REQUEST = re.compile(r"Calling (?:GET|HEAD|POST|PUT|DELETE) ")
_LOGIN = "Accepted publickey"
_SPEAK = r"""set -e
config=/etc/docker/daemon.json
cp $config /run/bench-daemon.json
sed '0,/{/s//{"debug": true,/' /run/bench-daemon.json >$config
systemctl kill --signal=HUP docker"""
_BE_SILENT = """set -e
cat /run/bench-daemon.json >/etc/docker/daemon.json
systemctl kill --signal=HUP docker"""


class Up(Protocol):
    """An update of the stack. Returns the seconds that it took."""

    def __call__(self, *, more: Mapping[str, str]) -> float:
        """Run it, with more variables."""


@dataclass
class Counts:
    """What one update did."""

    processes: int = 0
    """Provider processes."""
    calls: Counter[str] = field(default_factory=Counter)
    """The Pulumi engine's calls to providers, by method."""
    logins: int = 0
    """SSH connections to hosts."""
    requests: int = 0
    """Requests to the engines of hosts, without those of the hosts themselves in as long a time without an update."""


def fleet(stack: Stack, results: Results, runs: int, sizes: list[int], say: Say) -> None:
    """An update without a change and a code change, with each number of app hosts. The stack may be up before."""
    times: dict[int, dict[str, list[float]]] = {}
    for size in sizes:
        say(f"{size} app hosts …")
        stack.configure(size, BATCH)
        stack.slip_up()
        numbers = iter(range(1, 1000))

        def change(numbers: Iterator[int] = numbers, size: int = size) -> str:
            greeting = f"fleet of {size}, version {next(numbers)}"
            stack.change_code(greeting)
            return greeting

        change()
        stack.slip_up()
        times[size] = _times(stack, results, runs, size, change, say)
        with _speaking(stack):
            _report(results, "no change, pulumi up", _counted(stack, stack.pulumi_up), size, say)
            slip_up = partial(stack.slip, "up")
            # The first one compares all that plain Pulumi has left.
            slip_up()
            _report(results, "no change, ./slip up", _counted(stack, slip_up), size, say)
            change()
            _report(results, "code change, ./slip up", _counted(stack, slip_up), size, say)
        recorded = []
        for _ in range(min(runs, TIMELINES)):
            change()
            recorder = Recorder()
            with recorder.recording() as (log, started):
                stack.pulumi_up("--event-log", log, started=started)
            recorded.append(recorder.entries())
        results.timelines[f"a code change, bare pulumi up, {size} app hosts"] = medians(recorded)
    _compare(results, times)


def _times(
    stack: Stack, results: Results, runs: int, size: int, change: Callable[[], str], say: Say
) -> dict[str, list[float]]:
    urls = stack.urls()
    times: dict[str, list[float]] = {"no change": [], "code change": []}
    for _ in range(runs):
        times["no change"].append(stack.slip_up())
        watch = ServingWatch(urls, change())
        stack.slip_up()
        times["code change"].append(watch.seconds())
    for what, seconds in times.items():
        series = results.add("fleet", f"{what}, ./slip up", "s", seconds, size)
        say(f"  {what}: {series.median:.2f} s")
    return times


def _compare(results: Results, times: dict[int, dict[str, list[float]]]) -> None:
    small, large = min(times), max(times)
    if small == large:
        return
    for what, target in (("no change", NO_OP_GROWTH), ("code change", CODE_CHANGE_GROWTH)):
        results.compare(
            "fleet", f"{what}, {large} / {small} app hosts", times[large][what], times[small][what], target
        )


def _counted(stack: Stack, up: Up) -> Counts:
    """Count what an update does."""
    counts = Counts()
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        # It has every secret of the stack in it.
        log = Path(folder) / "calls"
        begun = time.time()
        seconds = up(more={"PULUMI_DEBUG_GRPC": str(log)})
        counts.calls = _calls(log)
    # The Pulumi engine's first call to each process that it has started.
    counts.processes = counts.calls["Handshake"]
    said = [_said(stack, host, begun) for host in stack.outputs["hosts"]]
    counts.logins = sum(logins for logins, _ in said)
    # A host's own timers ask its engine, too.
    before = time.time()
    time.sleep(seconds)
    idle = [_said(stack, host, before)[1] for host in stack.outputs["hosts"]]
    counts.requests = max(0, sum(requests for _, requests in said) - sum(idle))
    return counts


def _calls(log: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    with log.open() as lines:
        for line in lines:
            entry = json.loads(line)
            if str(entry["method"]).startswith(_CALL) and entry.get("progress") == _ENDED:
                found[entry["method"].removeprefix(_CALL)] += 1
    return found


def _said(stack: Stack, host: str, since: float) -> tuple[int, int]:
    """How many logins and requests a host has seen since a moment."""
    lines = _on(host, f"journalctl --quiet --output=cat --since=@{since:.6f} --unit=ssh --unit=docker")
    return lines.count(_LOGIN), len(_REQUEST.findall(lines))


@contextlib.contextmanager
def _speaking(stack: Stack) -> Iterator[None]:
    """Let the hosts' engines log their requests, for one block."""
    hosts = list(stack.outputs["hosts"])
    try:
        for host in hosts:
            _on(host, _SPEAK)
        yield
    finally:
        for host in hosts:
            _on(host, _BE_SILENT)


def _on(host: str, line: str) -> str:
    command = ["docker", "exec", f"slipway-{NAME}-{host}", "bash", "-c", line]
    result = subprocess.run(
        command, env=child_environment.of("docker"), capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise BenchError(
            f"{line.splitlines()[-1]} on {host} ended with status {result.returncode}:\n{result.stderr}"
        )
    return result.stdout


def _report(results: Results, what: str, counts: Counts, size: int, say: Say) -> None:
    calls = counts.calls.total()
    for name, number in (
        ("provider processes", counts.processes),
        ("calls to providers", calls),
        *((f"calls of {method}", number) for method, number in sorted(counts.calls.items())),
        ("SSH connections", counts.logins),
        ("engine requests", counts.requests),
    ):
        results.add("fleet", f"{what}: {name}", "", [float(number)], size)
    say(
        f"  {what}: {counts.processes} provider processes, {calls} calls, {counts.logins} SSH connections, "
        f"{counts.requests} engine requests"
    )
