"""Which processes of this machine live, and whether one is still the one that was meant."""

import os
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import child_environment

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process that has not ended."""

    parent: int
    """Process id of what started it, or of what adopted it after that had ended."""
    command: str
    """Its arguments, separated by blanks. Empty while it is just being started, and for what the kernel runs itself."""


def is_running(pid: int, program: str) -> bool:
    """Whether `pid`, another process than this one, has `program` in its command line.

    A process id is used again after a while, and after a restart of the machine, so the number alone says little. Start
    times would say more, but clocks are set: a wrong "no" here would let two updates write one state.
    """
    if pid <= 0 or pid == os.getpid():
        return False
    for _ in range(10):
        process = _look(pid) if _PROC.joinpath("self").exists() else _by_ps().get(pid)
        if process is None:
            return False
        if process.command:
            return program in process.command
        time.sleep(0.005)  # the kernel has not filled the arguments in yet
    return False


def everything() -> dict[int, Process]:
    """Every process of this machine, by process id."""
    if not _PROC.joinpath("self").exists():
        return _by_ps()
    found = {}
    for path in _PROC.iterdir():
        if path.name.isdecimal() and (process := _look(int(path.name))):
            found[int(path.name)] = process
    return found


def _look(pid: int) -> Process | None:
    """A process by its id, from /proc. One that has ended is gone, even if nobody has collected it yet."""
    try:
        command = _PROC.joinpath(str(pid), "cmdline").read_bytes()
        # The program's name in brackets may hold anything, so the fields count from its closing bracket.
        fields = _PROC.joinpath(str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in {"Z", "X"}:
        return None
    return Process(int(fields[1]), command.replace(b"\0", b" ").decode(errors="replace"))


def _by_ps() -> dict[int, Process]:
    """The same without /proc, as on macOS."""
    listed = subprocess.run(
        ["ps", "-axwwo", "pid=,ppid=,stat=,command="],
        env=child_environment.of("ps"),
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = {}
    for line in listed.splitlines():
        pid, parent, state, *command = line.split(maxsplit=3)
        if not state.startswith("Z"):
            found[int(pid)] = Process(int(parent), " ".join(command))
    return found


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
