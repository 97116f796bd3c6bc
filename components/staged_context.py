"""Staged contexts: copies of build contexts as git would keep them, from which the images are built.

A plugin reads modes, times and links of a context as they lie on the disk, so the same commit would give another image
in a clone with another umask. The copy has the modes 0644 and 0755, one time, and no private files. It is made once for
a content tag, and its path has the tag, so that it is the same in every clone.

The time is that of the copy: web servers compare times to tell browsers whether a file changed. It is part of neither
the tag nor BuildKit's cache keys.
"""

import atexit
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from components.build_context import Content, read_content
from configuration.private_files import warning
from well_known import STAGED_CONTEXTS_PATH

_ZEROS = bytes(1 << 20)
_BEGINNING_SECONDS = 10.0
"""Far more than passes between making a folder and locking it."""
_IN_USE: list[int] = []
"""Descriptors of the copies that this process uses. Each holds a lock until the process ends."""


@dataclass(frozen=True)
class StagedContext:
    """A copy."""

    tag: str
    """The content tag of what is in it."""
    context: Path
    """Relative to the project."""
    dockerfile: Path
    """Relative to the project."""


def stage(
    stack: str, name: str, context: Path, dockerfile: Path, arguments: Mapping[str, str]
) -> StagedContext:
    """The copy of a context, made if there is none of this content yet.

    Args:
        stack: the stack's name.
        name: the image's name.
        context: the build context, relative to the project.
        dockerfile: the Dockerfile, relative to the project, in the context.
        arguments: what the tag follows besides the files.

    Raises:
        UnfitFile: the Dockerfile or the file with the patterns must not or cannot be read.
        InvalidPattern: Docker would refuse a pattern.
        pulumi.RunError: another file or a folder of the context cannot be read, or the copy cannot be written.
    """
    folder = STAGED_CONTEXTS_PATH / stack / name
    tag = read_content(context, dockerfile, arguments).tag
    inside = Path(os.path.relpath(dockerfile, context))
    if not _has_its_modes(folder / tag / inside):
        _remove(folder / tag)
    while not _use(folder / tag):
        content = _make(folder, context, dockerfile, inside, arguments)
        tag = content.tag  # files may have changed since
        _report(name, content)
    return StagedContext(tag, folder / tag, folder / tag / inside)


def _has_its_modes(dockerfile: Path) -> bool:
    """Whether a copy still has the modes that it was made with: `cp -r` of a whole clone gives it others."""
    try:
        return stat.S_IMODE(dockerfile.stat().st_mode) in {0o644, 0o755}
    except OSError:
        return False


def _use(copy: Path) -> bool:
    """Whether a copy exists. It then stays until this process ends."""
    try:
        descriptor = _locked(copy)
        # Another process may have removed it ahead of the lock.
        if not copy.exists() or os.fstat(descriptor).st_ino != copy.stat().st_ino:
            os.close(descriptor)
            return False
    except FileNotFoundError:
        return False
    _IN_USE.append(descriptor)
    return True


def _locked(copy: Path) -> int:
    """A descriptor that keeps a copy from being removed."""
    descriptor = os.open(copy, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _make(
    folder: Path, context: Path, dockerfile: Path, inside: Path, arguments: Mapping[str, str]
) -> Content:
    try:
        STAGED_CONTEXTS_PATH.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A killed run leaves its unfinished copy, which `sweep` removes.
        unfinished = Path(tempfile.mkdtemp(prefix=".", dir=folder))
    except OSError as error:
        raise _unwritable(folder, error) from None
    descriptor = _locked(unfinished)
    try:
        writer = _Writer(unfinished)
        content = read_content(context, dockerfile, arguments, writer)
        # The build needs it even if a pattern leaves it out, or if it is a link.
        writer.dockerfile(inside.as_posix(), content.dockerfile)
        writer.finish()
        with _writing():
            _install(unfinished, folder / content.tag)
    except _WriteError as error:
        raise _unwritable(folder, error.reason) from None
    finally:
        os.close(descriptor)
        shutil.rmtree(unfinished, ignore_errors=True)
    return content


def _install(unfinished: Path, copy: Path) -> None:
    try:
        unfinished.rename(copy)
    except OSError:
        if not copy.is_dir():  # else another process made the same copy meanwhile
            raise


class _WriteError(Exception):
    """The copy cannot be written. Errors of the context itself are `OSError`s."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Writer:
    """Writes the copy."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, path: str) -> None:
        with _writing():
            (self._root / path).mkdir(parents=True, exist_ok=True)

    def link(self, path: str, target: str) -> None:
        self._parents(path)
        with _writing():
            (self._root / path).symlink_to(target)

    def file(self, path: str, pieces: Iterator[bytes], *, executable: bool) -> None:
        self._parents(path)
        with _writing():
            stream = (self._root / path).open("wb", buffering=0)
        size = 0
        with stream:
            for piece in pieces:
                with _writing():
                    # A sparse file stays sparse.
                    if piece == _ZEROS[: len(piece)]:
                        stream.seek(len(piece), os.SEEK_CUR)
                    else:
                        _write_all(stream.fileno(), piece)
                size += len(piece)
            with _writing():
                stream.truncate(size)
                os.fchmod(stream.fileno(), 0o755 if executable else 0o644)

    def dockerfile(self, path: str, content: bytes) -> None:
        place = self._root / path
        with _writing():
            executable = place.is_file() and not place.is_symlink() and bool(place.stat().st_mode & 0o100)
            place.unlink(missing_ok=True)
        self.file(path, iter([content]), executable=executable)

    def finish(self) -> None:
        """Give everything one time, and folders the mode that git has for them."""
        now = int(time.time())
        with _writing():
            for folder, folders, names in os.walk(self._root, topdown=False):
                for name in (*folders, *names):
                    path = os.path.join(folder, name)  # noqa: PTH118 - as os.walk has it
                    if name in folders and not os.path.islink(path):  # noqa: PTH114
                        os.chmod(path, 0o755)  # noqa: PTH101, S103 - as git has it; the folder above is private
                    os.utime(path, (now, now), follow_symlinks=False)

    def _parents(self, path: str) -> None:
        with _writing():
            (self._root / path).parent.mkdir(parents=True, exist_ok=True)


class _writing:  # noqa: N801 - a context manager
    """Tells errors of the copy from those of the context."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Turn an `OSError` into a `_WriteError`."""
        if isinstance(error, OSError):
            raise _WriteError(error) from None


def _write_all(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def _unwritable(folder: Path, error: OSError) -> Exception:
    import pulumi

    return pulumi.RunError(
        f"The copy of a build context cannot be written to {folder}: {error.strerror or error}. "
        "It needs as much room as the context has, and a folder that your user may write to."
    )


def _report(name: str, content: Content) -> None:
    import pulumi

    if content.private:
        pulumi.log.warn(warning(name, content.private))
    for path in content.special[:5]:
        pulumi.log.warn(
            f"{name}: the build does not get {ascii(path[-60:])[1:-1]} of its context, which is neither a file, a "
            "folder nor a link."
        )


def scratch(stack: str) -> Path:
    """A new empty folder for this process. It is removed as the process ends, or by a later `sweep`.

    Raises:
        pulumi.RunError: it cannot be made.
    """
    folder = STAGED_CONTEXTS_PATH / stack / ".checkout"
    try:
        STAGED_CONTEXTS_PATH.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".", dir=folder)).absolute()
        _IN_USE.append(_locked(made))
    except OSError as error:
        raise _unwritable(folder, error) from None
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def sweep(stack: str) -> None:
    """Remove the stack's copies that no process uses any more."""
    with suppress(OSError):
        for image in (STAGED_CONTEXTS_PATH / stack).iterdir():
            for copy in image.iterdir():
                if not _has_just_begun(copy):
                    _remove(copy)
            with suppress(OSError):
                image.rmdir()


def _has_just_begun(copy: Path) -> bool:
    """Whether another process may be about to lock an unfinished copy."""
    return copy.name.startswith(".") and time.time() - copy.stat().st_mtime < _BEGINNING_SECONDS


def _remove(copy: Path) -> None:
    try:
        descriptor = os.open(copy, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(copy, ignore_errors=True)
    except OSError:
        pass  # in use
    finally:
        os.close(descriptor)
