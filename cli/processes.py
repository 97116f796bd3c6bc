"""Whether a process of this machine still lives, and is still the one that was meant."""

import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

_PROC = Path("/proc")


def is_running(pid: int, program: str) -> bool:
    """Whether `pid`, another process than this one, has `program` in its command line.

    A process id is used again after a while, and after a restart of the machine, so the number alone says little. Start
    times would say more, but clocks are set: a wrong "no" here would let two updates write one state.
    """
    if pid <= 0 or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's: alive
    if not _PROC.joinpath("self").exists():
        return _runs_by_ps(pid, program)
    return program in _command_line(pid)


def _command_line(pid: int) -> str:
    """The arguments of a process; empty if it has ended, even if nobody has collected it yet."""
    try:
        for _ in range(10):
            command = _PROC.joinpath(str(pid), "cmdline").read_bytes()
            state = _PROC.joinpath(str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
            if command or state in {"Z", "X"}:
                return command.replace(b"\0", b" ").decode(errors="replace")
            time.sleep(0.005)  # it is just being started: the kernel has not filled the arguments in
    except OSError:
        pass
    return ""


def _runs_by_ps(pid: int, program: str) -> bool:
    """The same without /proc, as on macOS."""
    shown = subprocess.run(
        ["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(shown) and not shown.startswith("Z") and program in shown


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
