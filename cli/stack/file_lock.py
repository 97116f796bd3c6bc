"""A lock on a file, which the system releases when its process ends, however it ends."""

import contextlib
import errno
import fcntl
import json
import os
import pwd
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.stack import processes

UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""The errors of a file system without locks."""

WRITE_PATIENCE = 0.5
"""Seconds in which a process that has just taken a lock writes its name into the file; it takes a millisecond."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int
    user: str
    host: str
    started: str
    """When it took the lock, in ISO 8601."""
    command: str
    """Such as `./slip up`."""

    @classmethod
    def this(cls, command: str) -> "Holder":
        """This process."""
        return cls(os.getpid(), user_name(), socket.gethostname(), processes.now().isoformat(), command)

    def __str__(self) -> str:
        """Who, where and since when."""
        who = f" of {self.user}" if self.user else ""
        since = processes.local_time(self.started)
        return f"`{self.command}`, process {self.pid}{who} on {self.host}, since {since}"


class Held(Exception):
    """Another process holds the lock."""

    def __init__(self, holder: Holder | None) -> None:
        """With the holder, if the file names it."""
        super().__init__(str(holder or "unknown"))
        self.holder = holder


class FileLock:
    """A lock that this process takes, and holds until it releases it or ends.

    Containers and clones that see the same file exclude each other, too, whatever their host names and process ids. A
    file system without locks locks nothing.
    """

    def __init__(self, path: Path) -> None:
        """For the file at `path`, which is made if it is missing, and stays."""
        self._path = path
        self._descriptor = -1

    def take(self, command: str) -> None:
        """Take the lock, unless this process has it. Nobody waits: a second process is refused.

        Args:
            command: what this process does, for those that it keeps out.

        Raises:
            Held: another process holds the lock.
            OSError: the file can be neither made nor read.

        """
        if self._descriptor >= 0:
            return
        descriptor = _open(self._path)
        try:
            if not _lock(descriptor, fcntl.LOCK_EX):
                raise Held(_holder(self._path))
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _write(descriptor, json.dumps(asdict(Holder.this(command))))

    @property
    def descriptor(self) -> int:
        """The open file. A child that gets it holds the lock, too, until it ends."""
        return self._descriptor

    def release(self) -> None:
        """Release the lock, if this process has it."""
        if self._descriptor >= 0:
            _write(self._descriptor, "")
            os.close(self._descriptor)
            self._descriptor = -1


def holder(path: Path) -> Holder | None:
    """The other process that holds the lock now; None if it is free, or the file does not say."""
    if not path.exists():
        return None
    descriptor = _open(path)
    try:
        found = None if _lock(descriptor, fcntl.LOCK_SH) else _holder(path)
    finally:
        os.close(descriptor)
    return found if found and found.pid != os.getpid() else None


@contextlib.contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs, after all who hold it now. For blocks that take a few seconds at most."""
    descriptor = _open(path)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # A backend may be shared with other users, whose umask decides who may write the file.
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    return True


def _write(descriptor: int, text: str) -> None:
    # In place: a replaced file would be another lock. Not every user may write it.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _holder(path: Path) -> Holder | None:
    deadline = time.monotonic() + WRITE_PATIENCE
    while True:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Holder(**json.loads(path.read_text(encoding="utf-8")))
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)


def user_name() -> str:
    """The name of this process's user; empty if the system does not know it."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""
