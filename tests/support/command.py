"""A command that runs: its output, the steps of the Pulumi engine, and how to kill it."""

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

from tests.support.waiting import PATIENCE

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
    """How a command ended."""

    arguments: tuple[str, ...]
    status: int
    output: str
    """Standard output and standard error."""
    seconds: float
    steps: tuple[Step, ...]
    """The steps that the engine began, in its order."""

    @property
    def changes(self) -> dict[str, set[str]]:
        """The operations that change something, by the resource's name."""
        found: dict[str, set[str]] = {}
        for step in self.steps:
            if step.operation not in UNCHANGED:
                found.setdefault(step.name, set()).add(step.operation)
        return found

    def __str__(self) -> str:
        """For the messages of assertions."""
        line = f"{' '.join(self.arguments)}: status {self.status} after {self.seconds:.1f} s"
        return f"{line}; changes {self.changes}; it printed:\n{self.output}"


class Command:
    """A process in a session of its own, whose output is collected as it comes."""

    def __init__(
        self, arguments: tuple[str, ...], directory: Path, environment: Mapping[str, str], printed: list[str]
    ) -> None:
        """Start it. `{events}` in an argument becomes the path of the engine's event log.

        The output is added to `printed` once the command has ended.
        """
        handle, name = tempfile.mkstemp(prefix="slipway-e2e-", suffix=".events")
        os.close(handle)
        self._events = Path(name)
        self._arguments = arguments
        self._printed = printed
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
        self._steps: list[Step] = []
        self._position = 0
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._lines.extend(self._process.stdout)

    def wait(self, seconds: float = PATIENCE) -> Result:
        """Wait for its end, and fail if it runs for longer than this."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            raise AssertionError(
                f"{self._arguments} took longer than {seconds} s; it printed:\n{self._output()}"
            ) from None
        elapsed = time.monotonic() - self._started
        output = self._output()
        steps = self.steps()
        self._events.unlink(missing_ok=True)
        self._printed.append(output)
        return Result(self._arguments, status, output, elapsed, steps)

    def _output(self) -> str:
        """All that was printed. A plugin that outlives a killed CLI for a moment holds the pipe open until it ends."""
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), f"{self._arguments} left a process that holds its output open"
        return "".join(self._lines)

    def steps(self) -> tuple[Step, ...]:
        """The steps that the engine has begun so far."""
        with self._events.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._position += len(complete)
        events = map(json.loads, complete.splitlines())
        self._steps += [_step(event["resourcePreEvent"]) for event in events if "resourcePreEvent" in event]
        return tuple(self._steps)

    def wait_until_printed(self, text: str) -> None:
        """Wait until it has printed a text, and fail if it ends first."""
        deadline = time.monotonic() + PATIENCE
        while not any(text in line for line in [*self._lines]):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill_everything()
                raise AssertionError(f"{self._arguments} never said {text!r}; it printed:\n{self._output()}")
            time.sleep(0.02)

    def wait_until(self, what: str, reached: Callable[[Step], bool]) -> None:
        """Wait until the engine begins such a step, and fail if the command ends first."""
        deadline = time.monotonic() + PATIENCE
        while not any(reached(step) for step in self.steps()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill_everything()
                raise AssertionError(
                    f"{self._arguments} never came to {what}; it began {self.steps()} and printed:\n"
                    + self._output()
                )
            time.sleep(0.02)

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def lines(self) -> list[str]:
        """What it has printed so far."""
        return list(self._lines)

    def end_at(self, moment: Callable[["Command", int], bool], number: signal.Signals) -> None:
        """Send a signal to it and its terminal's group once it has come to a moment, and wait until all is over."""
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None and not moment(self, self._process.pid):
            assert time.monotonic() < deadline, f"{self._arguments} never came to {moment.__name__}"
            time.sleep(0.01)
        # The children's own sessions end with them.
        started = _descendants(self._process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        self._process.wait(PATIENCE)
        while any(Path(f"/proc/{pid}").exists() and _name(pid) for pid in started):
            assert time.monotonic() < deadline, f"{self._arguments} left {started}"
            time.sleep(0.05)
        self._printed.append(self._output())
        self._events.unlink(missing_ok=True)

    def kill_pulumi(self) -> None:
        """Kill the Pulumi CLI alone, if it runs. Its plugins and its program notice that and end by themselves."""
        for pid in _descendants(self._process.pid):
            if _name(pid) == "pulumi":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

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
    """The processes that descend from this one, in whatever session."""
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
