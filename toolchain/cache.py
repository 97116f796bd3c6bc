"""The cache: a directory for downloads and builds, shared by all clones of a user."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def root() -> Path:
    """The cache's directory: `SLIPWAY_CACHE`, else `slipway` in the XDG cache directory."""
    chosen = os.environ.get("SLIPWAY_CACHE")
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "slipway"


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield a temporary directory next to `target`. On the same file system, `publish` is one rename.

    The directory is removed at the end. A killed run leaves its directory, which `sweep` removes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=".staged-", dir=target.parent))
    try:
        yield directory
    finally:
        _remove(directory)


def publish(made: Path, target: Path) -> None:
    """Move what was made to `target` in one step, so that no process sees a part of it."""
    if made.is_dir() and target.is_dir():
        _remove(target)
    made.replace(target)


def sweep() -> None:
    """Remove what killed runs left. Call it with the lock held: then no other run is at work."""
    for pattern in (".staged-*", "*/.staged-*", "*/*/.staged-*"):
        for directory in root().glob(pattern):
            _remove(directory)


@contextlib.contextmanager
def lock(name: str, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold the cache's lock `name`. If another process holds it, call `waiting` with that process's id and wait.

    The system releases the lock when the last process with the yielded descriptor ends. Long builds inherit it: a build
    that outlives a killed run ends before the next run starts, and the next run finds the results in the compiler's
    cache.
    """
    path = root() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            waiting(file.read().strip())
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def _remove(path: Path) -> None:
    """Remove a tree. First unmount what a killed debootstrap left mounted in it, such as /proc and /sys."""
    for mount in reversed(_mounts_below(path)):
        _unmount(mount)
    if _mounts_below(path):
        return  # removing through a mount would delete this machine's files
    shutil.rmtree(path, ignore_errors=True)


def _mounts_below(path: Path) -> list[str]:
    table = Path("/proc/self/mountinfo")
    if not table.exists():
        return []
    # The fifth field is the mount point, with blanks written as \040.
    points = [line.split()[4].replace("\\040", " ") for line in table.read_text().splitlines()]
    return [point for point in points if point.startswith(f"{path.resolve()}/")]


def _unmount(point: str) -> None:
    import subprocess

    import child_environment

    variables = child_environment.of("umount")
    subprocess.run(["umount", "--lazy", point], env=variables, check=False, capture_output=True)
