"""The processes of this machine, and whether a process id still belongs to a given program."""

import os
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import child_environment

_PROC = Path("/proc")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Process:
    """A process that has not ended."""

    parent: int
    """The parent's process id: what started the process, or what adopted it after that."""
    command: str
    """The arguments, separated by blanks. Empty for a process that is just starting, and for kernel threads."""
    start: int = 0
    """When it started, in the kernel's ticks since the machine's start, which no clock changes; 0 if unknown."""


YOUNGER = 60.0
"""Seconds by which a process must be younger than a record to be another one than the record's. Clocks are adjusted."""


def is_running(pid: int, program: str, *, start: int = 0, recorded: datetime | None = None) -> bool:
    """Whether `pid`, another process than this one, has `program` in its command line.

    The system reuses process ids, so the number alone is not enough.

    Args:
        pid: the process id.
        program: a part of the command line.
        start: the process's `start`; 0 if it is not known.
        recorded: when the process id was noted. Without `start`, a process that is younger than that is another one.

    """
    if pid <= 0 or pid == os.getpid():
        return False
    started = start_of(pid)
    if start and started:
        if started != start:
            return False
    elif recorded and _is_younger(started, recorded):
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
    return Process(int(fields[1]), command.replace(b"\0", b" ").decode(errors="replace"), int(fields[19]))


def start_of(pid: int) -> int:
    """When a process started, as `Process.start` has it; 0 if it has ended, or the system does not say."""
    process = _look(pid)
    return process.start if process else 0


def boot() -> str:
    """An id of this machine's last start; empty if the system has none. Containers of a machine share it."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _is_younger(start: int, recorded: datetime) -> bool:
    if not start:
        return False
    # Not /proc/uptime, which a container may see since its own start.
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK")
    return age + YOUNGER < (now() - recorded).total_seconds()


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


def local_time(moment: str | datetime) -> str:
    """A time, or a text with one in ISO 8601, on this machine's clock: `2026-11-27 15:48:07`."""
    try:
        found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        return str(moment)
    return f"{found.astimezone():%Y-%m-%d %H:%M:%S}"
