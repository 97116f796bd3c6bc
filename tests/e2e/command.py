"""A command under way: what it prints, what the Pulumi engine does meanwhile, and how to kill it."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNCHANGED = frozenset({"same", "refresh", "read", "read-discard"})
"""Operations that leave everything as it is."""


@dataclass(frozen=True)
class Step:
    """One operation of the engine on one resource."""

    operation: str
    """As Pulumi names it: `create`, `update`, `delete-replaced`, …"""
    kind: str
    """The resource's type, such as `docker:index/container:Container`."""
    name: str


@dataclass(frozen=True)
class Result:
    """What became of a command."""

    arguments: tuple[str, ...]
    status: int
    output: str
    """What it printed on both streams."""
    seconds: float
    steps: tuple[Step, ...]
    """What the engine began, in its order."""

    @property
    def changes(self) -> dict[str, set[str]]:
        """The operations on each resource that is not left as it is, by its name."""
        found: dict[str, set[str]] = {}
        for step in self.steps:
            if step.operation not in UNCHANGED:
                found.setdefault(step.name, set()).add(step.operation)
        return found

    def __str__(self) -> str:
        """For the messages of assertions."""
        said = f"{' '.join(self.arguments)}: status {self.status} after {self.seconds:.1f} s"
        return f"{said}; changes {self.changes}; it printed:\n{self.output}"


class Command:
    """A process in a session of its own, with its output collected as it comes."""

    def __init__(
        self, arguments: tuple[str, ...], directory: Path, environment: Mapping[str, str], said: list[str]
    ) -> None:
        """Start it. `{events}` in an argument becomes a file that the engine writes its events to.

        What the command printed is added to `said` once it has ended.
        """
        handle, name = tempfile.mkstemp(prefix="slipway-e2e-", suffix=".events")
        os.close(handle)
        self._events = Path(name)
        self._arguments = arguments
        self._said = said
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [argument.replace("{events}", name) for argument in arguments],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._lines.extend(self._process.stdout)

    def wait(self, seconds: float) -> Result:
        """Wait for its end, and fail if that does not come in time."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            self._reader.join(5)
            said = "".join(self._lines)
            raise AssertionError(
                f"{self._arguments} took longer than {seconds} s; it said:\n{said}"
            ) from None
        elapsed = time.monotonic() - self._started
        # A plugin that outlives a killed CLI for a moment holds the pipe open.
        self._reader.join(5)
        steps = self.steps()
        self._events.unlink(missing_ok=True)
        output = "".join(self._lines)
        self._said.append(output)
        return Result(self._arguments, status, output, elapsed, steps)

    def steps(self) -> tuple[Step, ...]:
        """What the engine has begun so far."""
        return tuple(
            _step(event["resourcePreEvent"]) for event in self._read_events() if "resourcePreEvent" in event
        )

    def _read_events(self) -> list[dict[str, Any]]:
        events = []
        for line in self._events.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):  # the last one may be half written
                events.append(json.loads(line))
        return events

    def wait_until(self, what: str, reached: Callable[[Step], bool], seconds: float) -> None:
        """Wait until the engine begins such an operation, and fail if the command ends first."""
        deadline = time.monotonic() + seconds
        while not any(reached(step) for step in self.steps()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill_everything()
                self._reader.join(5)
                raise AssertionError(
                    f"{self._arguments} never came to {what}; it began {self.steps()} and said:\n"
                    + "".join(self._lines)
                )
            time.sleep(0.02)

    def kill_pulumi(self) -> None:
        """Kill the Pulumi CLI alone, at once; whatever it started notices that by itself."""
        for pid in _descendants(self._process.pid):
            if _name(pid) == "pulumi":
                os.kill(pid, signal.SIGKILL)
                return
        raise AssertionError("there is no Pulumi CLI to kill")

    def kill_everything(self) -> None:
        """Kill the command and all that it started, as a machine that loses its power would."""
        victims = [self._process.pid, *_descendants(self._process.pid)]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _step(event: dict[str, Any]) -> Step:
    metadata = event["metadata"]
    return Step(metadata["op"], metadata["type"], metadata["urn"].rpartition("::")[2])


def _descendants(pid: int) -> list[int]:
    """Every process that comes from this one, those in sessions of their own too."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, open_ = [], [pid]
    while open_:
        children = parents.get(open_.pop(), [])
        found += children
        open_ += children
    return found


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
