"""The timeline of an update: the steps that the engine reports, and the processes that start."""

import contextlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.measure import process_tree

PERIOD = 0.005
"""Seconds between two reads of the event log, and so the precision of a time. The log's own times are whole seconds."""
PROCESS_PERIOD = 0.02
"""Seconds between two reads of the process table."""
SAME = "same"
COMPONENTS = ("pulumi:pulumi:", "slipway:")
"""Types of resources that contain others, and take as long as those."""


@dataclass(frozen=True)
class Entry:
    """Something that took time."""

    what: str
    at: float
    """Seconds from the start of the CLI to the beginning of this entry."""
    seconds: float


@dataclass
class Recorder:
    """Records one run of the CLI."""

    _events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    _processes: dict[int, tuple[str, float]] = field(default_factory=dict)
    """By process id: the process's latest kind, and the time when it was first seen as that."""
    _begun: float = 0.0
    _took: float = 0.0

    @contextlib.contextmanager
    def recording(self) -> Iterator[tuple[str, Callable[[int], None]]]:
        """Yield the path of the event log, and a function that takes the CLI's process id."""
        ended = threading.Event()
        with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
            log = Path(folder) / "events"
            log.touch()
            threads = [threading.Thread(target=self._follow, args=(log, ended), daemon=True)]

            def started(pid: int) -> None:
                self._begun = time.monotonic()
                threads.append(threading.Thread(target=self._look, args=(pid, ended), daemon=True))
                for thread in threads:
                    thread.start()

            try:
                yield str(log), started
            finally:
                self._took = time.monotonic() - self._begun
                ended.set()
                for thread in threads:
                    thread.join()

    def _follow(self, log: Path, ended: threading.Event) -> None:
        with log.open() as file:
            half = ""
            last = False
            while True:
                half += file.read()
                *lines, half = half.split("\n")
                self._events += [(time.monotonic() - self._begun, json.loads(line)) for line in lines if line]
                if last:
                    return
                last = ended.wait(PERIOD)  # after the end, read once more

    def _look(self, pid: int, ended: threading.Event) -> None:
        while not ended.wait(PROCESS_PERIOD):
            now = time.monotonic() - self._begun
            for process in process_tree(pid):
                kind = _kind(process)
                # A launcher executes another program, so a process can change its kind.
                if kind and self._processes.get(process, ("", 0.0))[0] != kind:
                    self._processes[process] = kind, now

    def entries(self) -> list[Entry]:
        """What took time, in order."""
        steps, first, last_same = self._steps()
        cli = self._first("pulumi", 0)
        program = self._first("program", first)
        changes = min((step.at for step in steps), default=self._took)
        end = max((step.at + step.seconds for step in steps), default=last_same)
        plugins = [at for kind, at in self._processes.values() if kind.startswith("plugin")]
        found = [
            Entry("slip: before Pulumi", 0, cli),
            Entry("CLI: backend, language host, which plugins the program needs", cli, program - cli),
            Entry("program: Python starts, imports, lays out all resources", program, first - program),
            Entry("plugins start, resources are compared, until the first change", first, changes - first),
            *_span("of that, from the first plugin's start to the last one's", plugins),
            Entry("resources that stay as they are", first, last_same - first),
            *steps,
            Entry("after the last change", end, self._took - end),
            Entry("all", 0, self._took),
        ]
        return sorted((entry for entry in found if entry.seconds > 0), key=lambda entry: entry.at)

    def _first(self, kind: str, otherwise: float) -> float:
        """The time when the first process of a kind was seen."""
        return min((at for found, at in self._processes.values() if found == kind), default=otherwise)

    def _steps(self) -> tuple[list[Entry], float, float]:
        """The steps that change something, and the times of the first registered and of the last unchanged resource."""
        begun: dict[tuple[str, str], float] = {}
        steps = []
        first = last_same = 0.0
        for at, event in self._events:
            if before := event.get("resourcePreEvent"):
                metadata = before["metadata"]
                begun[metadata["urn"], metadata["op"]] = at
                first = first or at
            elif after := event.get("resOutputsEvent") or event.get("resOpFailedEvent"):
                metadata = after["metadata"]
                operation, urn = metadata["op"], metadata["urn"]
                start = begun.pop((urn, operation), at)
                if operation == SAME:
                    last_same = at
                elif at > start and not metadata["type"].startswith(COMPONENTS):
                    name, kind = urn.rpartition("::")[2], metadata["type"].rpartition(":")[2]
                    steps.append(Entry(f"{operation} {kind} {name}", start, at - start))
        return steps, first, last_same


def _span(what: str, moments: list[float]) -> list[Entry]:
    return [Entry(what, min(moments), max(moments) - min(moments))] if moments else []


def _kind(pid: int) -> str:
    """The kind of a process: `program`, `plugin docker`, else the command's name; empty if the process has ended."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        line = " ".join(words)
        if "language-python-exec" in line:
            return "program"
        if "/plugins/resource-" in line:
            return f"plugin {line.partition('/plugins/resource-')[2].partition('-v')[0]}"
        return words[0].rpartition("/")[2]
    return ""


def medians(runs: list[list[Entry]]) -> list[Entry]:
    """One timeline out of several: the medians of each entry that all runs have."""
    by_what: dict[str, list[Entry]] = {}
    for entries in runs:
        for entry in entries:
            by_what.setdefault(entry.what, []).append(entry)
    found = [
        Entry(what, statistics.median(e.at for e in entries), statistics.median(e.seconds for e in entries))
        for what, entries in by_what.items()
        if len(entries) == len(runs)
    ]
    return sorted(found, key=lambda entry: (entry.at, entry.seconds))
