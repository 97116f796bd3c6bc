"""The processes of this machine, and whether a process id still belongs to a given program."""

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
    """The parent's process id: what started the process, or what adopted it after that."""
    command: str
    """The arguments, separated by blanks. Empty for a process that is just starting, and for kernel threads."""


def is_running(pid: int, program: str) -> bool:
    """Whether `pid`, another process than this one, has `program` in its command line.

    The system reuses process ids, so the number alone is not enough. Start times would identify a process, but clocks
    get adjusted, and a wrong "no" would let two updates write the same state.
    """
    if pid <= 0 or pid == os.getpid():
        return False
    for _ in range(10):
        process = _look(pid) if _PROC.joinpath("self").exists() else _by_ps().get(pid)
        if process is None:
            return False
        if process.command:
            return program in process.command
        time.sleep(0.005)  # the kernel has not set the arguments yet
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
    """A process by its id, from /proc. A zombie counts as ended."""
    try:
        command = _PROC.joinpath(str(pid), "cmdline").read_bytes()
        # The program's name may contain blanks and brackets, so the fields are counted from its closing bracket.
        fields = _PROC.joinpath(str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in {"Z", "X"}:
        return None
    return Process(int(fields[1]), command.replace(b"\0", b" ").decode(errors="replace"))


def _by_ps() -> dict[int, Process]:
    """All processes on a system without /proc, such as macOS."""
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
