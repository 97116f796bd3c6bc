"""The cache: what was downloaded or built, outside the clone, shared by all clones of a user."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def root() -> Path:
    """The cache's directory: `SLIPWAY_CACHE`, else `slipway` where the desktop standard puts caches."""
    chosen = os.environ.get("SLIPWAY_CACHE")
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "slipway"


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a directory to work in, next to `target`, so that `publish` is one rename on one file system.

    The directory is gone afterwards, whatever happened. A killed run leaves its own behind; `sweep` removes it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=".staged-", dir=target.parent))
    try:
        yield directory
    finally:
        _remove(directory)


def publish(made: Path, target: Path) -> None:
    """Put what was made in its place, all at once: nobody ever sees half of it."""
    if made.is_dir() and target.is_dir():
        _remove(target)
    made.replace(target)


def sweep() -> None:
    """Remove what killed runs left behind. Only for the holder of the lock: nobody else is at work then."""
    for pattern in (".staged-*", "*/.staged-*", "*/*/.staged-*"):
        for directory in root().glob(pattern):
            _remove(directory)


@contextlib.contextmanager
def lock(name: str, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold the cache's lock `name`; call `waiting` with the holder's process id first if another one has it.

    The system releases it when the last process that holds the yielded descriptor ends, however it ends. It is
    handed to long builds: one that outlives a killed run finishes before the next run starts, which then finds its
    results in the compiler's cache instead of competing with it.
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
    """Remove a tree. A killed debootstrap leaves /proc and /sys mounted in it: those are unmounted first."""
    for mount in reversed(_mounts_below(path)):
        _unmount(mount)
    if _mounts_below(path):
        return  # removing through a mount would reach what is not ours
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
