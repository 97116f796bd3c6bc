"""The marker of an update: a file that exists while the update runs, and stays if it is killed.

Beside it is a lock, which one update at a time holds until it ends. A marker whose lock is free is a killed update's.
"""

import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from cli import console
from cli.errors import CommandError
from cli.stack import file_lock, processes
from cli.stack.file_lock import FileLock, Held, Holder
from cli.stack.project import write_private
from cli.stack.stack import Stack


@dataclass(frozen=True)
class Marker:
    """The record of an update that runs on this machine, or was killed."""

    slip: int
    """Process id of the command."""
    pulumi: int
    """Process id of its Pulumi CLI; 0 before the CLI starts."""
    host: str
    started: str
    """When, in ISO 8601."""
    command: str
    boot: str = ""
    """An id of the machine's start at that time: after another start, none of its processes runs."""
    pulumi_start: int = 0
    """When the CLI started, as `processes.Process.start` has it; 0 if unknown."""

    @property
    def since(self) -> datetime:
        """When the update started."""
        return datetime.fromisoformat(self.started)

    @property
    def is_of_this_start(self) -> bool:
        """Whether its process ids are of this machine, since its last start."""
        return self.host == socket.gethostname() and self.boot in {"", processes.boot()}

    @classmethod
    def read(cls, stack: Stack) -> "Marker | None":
        """The marker of a stack, if there is one."""
        try:
            return cls(**json.loads(stack.project.marker(stack.short_name).read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            # Written by another version, or only in part: an update was killed, and no more is known.
            return cls(0, 0, socket.gethostname(), processes.now().isoformat(), "update")

    def write(self, stack: Stack) -> None:
        """Write the marker file."""
        write_private(stack.project.marker(stack.short_name), json.dumps(asdict(self)) + "\n")


def mark(stack: Stack, command: str, pid: int = 0) -> None:
    """Mark an update as running, with the CLI's process id once it is known."""
    host, started = socket.gethostname(), processes.now().isoformat()
    start = processes.start_of(pid) if pid else 0
    Marker(os.getpid(), pid, host, started, command, processes.boot(), start).write(stack)


def unmark(stack: Stack) -> None:
    """Remove the marker: the update ended, successfully or not. A killed update stays marked."""
    stack.project.marker(stack.short_name).unlink(missing_ok=True)


_locks: dict[Path, FileLock] = {}
"""The locks that this process has taken, which it holds until it ends."""


def hold(stack: Stack) -> None:
    """Keep other updates of the stack out until this process ends.

    Raises:
        CommandError: another update of the stack runs, in this clone or in one that shares the backend.

    """
    for path in _lock_files(stack):
        lock = _locks.setdefault(path, FileLock(path))
        try:
            lock.take(_command())
        except Held as held:
            raise CommandError(
                f"another update of the stack '{stack.name}' runs: {held.holder or 'its process is unknown'}",
                "Wait until it ends, or interrupt it in its terminal.",
            ) from None
        except OSError:
            # A shared backend's directory that this user may not write: Pulumi's own lock is left.
            if path == _own_lock(stack):
                raise


def release(stack: Stack) -> None:
    """Let other updates of the stack in, if this process keeps them out."""
    for path in _lock_files(stack):
        if lock := _locks.pop(path, None):
            lock.release()


def warn_of_running(stack: Stack) -> None:
    """Say that an update runs, whose unfinished state a preview would be compared with."""
    if other := running(stack):
        console.warn(
            f"an update of the stack '{stack.name}' runs ({other}). "
            "This preview also shows what that update has not done yet."
        )


def running(stack: Stack) -> Holder | None:
    """The other process that updates the stack now; None without one."""
    others = (_holder(path) for path in _lock_files(stack) if path.exists())
    return next((other for other in others if other), None)


def _holder(path: Path) -> Holder | None:
    try:
        return file_lock.holder(path)
    except OSError:
        return None


def _lock_files(stack: Stack) -> list[Path]:
    """The files to lock: the clone's and, in a file backend that other clones may share, one there."""
    files = [_own_lock(stack)]
    directory = stack.backend.directory
    if directory and directory.is_dir() and not directory.is_relative_to(stack.project.private):
        files.append(directory / ".slipway" / stack.project.name / f"{stack.short_name}.lock")
    return files


def _own_lock(stack: Stack) -> Path:
    return stack.project.marker(stack.short_name).with_suffix(".lock")


def _command() -> str:
    """This command without its options, which may hold secrets."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    return f"./slip {word}" if word.isalpha() else "./slip"
