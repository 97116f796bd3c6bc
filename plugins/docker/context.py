"""A build context: its files, their digest, and the archive that the engine gets.

The digest is computed as pulumi-docker does (`hashContext` in its provider), so that an image does not look
changed when a stack moves between the two plugins.
"""

import hashlib
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from dockerfiles.ignore import Ignore, InvalidPattern, UnreadableFolder, patterns
from plugins.protocol.messages import Failure

_DOCKERFILE = "Dockerfile"

LIMIT = 1 << 20
"""The most bytes of a Dockerfile or a `.dockerignore`."""


def read(file: Path) -> bytes:
    """Return the content of a Dockerfile or a `.dockerignore`, which must be a regular file: a FIFO would block.

    OSErrors such as FileNotFoundError pass; Failure for a file that is not regular, or too large. The official plugin
    has neither limit.
    """
    _require_regular(file, file.stat())
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123  # a descriptor
        _require_regular(file, os.fstat(descriptor))
        content = stream.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise Failure(f"{file} is larger than {LIMIT >> 20} MiB")
    return content


def _require_regular(file: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Failure(f"{file} is not a regular file")


_LETTERS: tuple[tuple[Callable[[int], bool], str], ...] = (
    # As Go's FileMode.String orders them.
    (stat.S_ISLNK, "L"),
    (lambda mode: stat.S_ISBLK(mode) or stat.S_ISCHR(mode), "D"),
    (stat.S_ISFIFO, "p"),
    (lambda mode: bool(mode & stat.S_ISUID), "u"),
    (lambda mode: bool(mode & stat.S_ISGID), "g"),
    (stat.S_ISCHR, "c"),
    (lambda mode: bool(mode & stat.S_ISVTX), "t"),
)


def go_mode(mode: int) -> str:
    """Return a file's mode in Go's notation: `-rw-r--r--`, `Lrwxrwxrwx`, `urwxr-xr-x`."""
    kind = "".join(letter for holds, letter in _LETTERS if holds(mode)) or "-"
    bits = "".join(letter if mode & (0o400 >> index) else "-" for index, letter in enumerate("rwxrwxrwx"))
    return kind + bits


def ignore_patterns(context: Path, dockerfile: Path) -> list[str]:
    """Return the patterns of `DOCKERFILE.dockerignore`, or, if it does not exist, of the context's `.dockerignore`."""
    for file in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore"):
        try:
            return patterns(read(file).decode())
        except FileNotFoundError:
            continue
        except UnicodeDecodeError:
            # Without the error's text, which shows a part of the file.
            raise Failure(f"unable to read {file}: it is not text in UTF-8") from None
        except (OSError, InvalidPattern) as error:
            raise Failure(f"unable to read {file}: {error}") from error
    return []


def _included(context: Path, dockerfile: Path, exceptions: Sequence[str] = ()) -> Iterator[str]:
    """Return the paths in `context` that its .dockerignore leaves; `exceptions` are added to its patterns."""
    try:
        ignore = Ignore([*ignore_patterns(context, dockerfile), *exceptions])
    except InvalidPattern as error:
        raise Failure(f"the .dockerignore of {context} cannot be used: {error}") from error
    try:
        yield from ignore.walk(context)
    except UnreadableFolder as error:
        raise Failure(
            f"the build context {context} cannot be used: {error}; "
            "make it readable, or leave it out with a pattern in .dockerignore"
        ) from None


def digest(context: Path, dockerfile: Path) -> str:
    """Return the digest of a context's files, of their names and modes, and of the Dockerfile."""
    total = hashlib.sha256()
    try:
        _add_entry(total, _DOCKERFILE, 0, hashlib.sha256(read(dockerfile)))
        for name in _included(context, dockerfile):
            file = context / name
            mode = file.lstat().st_mode
            if not stat.S_ISDIR(mode):
                _add(total, file, name, mode)
    except OSError as error:
        raise Failure(f"unable to hash build context: {error}") from error
    return total.hexdigest()


def _add(total: Any, file: Path, name: str, mode: int) -> None:
    content = hashlib.sha256()
    if stat.S_ISLNK(mode):
        content.update(os.fsencode(_link_target(file)))
    elif stat.S_ISREG(mode):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256")
    _add_entry(total, name, mode, content)


def _add_entry(total: Any, name: str, mode: int, content: Any) -> None:
    total.update(os.fsencode(name) + go_mode(mode).encode() + content.digest() + b"\0")


def _link_target(link: Path) -> str:
    """Return the final target of a link, relative to the working directory if link and target are relative.

    A link that leads nowhere, or in circles, counts by its text. The official plugin refuses it; Docker does not.
    """
    try:
        target = os.path.realpath(link, strict=True)
    except OSError:
        return os.readlink(link)  # noqa: PTH115  # text
    if link.is_absolute() or os.path.isabs(os.readlink(link)):  # noqa: PTH115, PTH117  # text, not paths
        return target
    return os.path.relpath(target, os.path.realpath("."))


def archive(context: Path, dockerfile: Path, into: IO[bytes]) -> str:
    """Write the context as a tar archive owned by root, and return the Dockerfile's name in it.

    The archive has files, directories and links only; `special_files` returns the others.
    """
    inside = os.path.relpath(dockerfile, context)
    outside = inside.startswith("..")
    # The engine needs Dockerfile and .dockerignore even if a pattern ignores them.
    needed = ["!.dockerignore"]
    if not outside:
        needed.append("!" + re.sub(r"[*?\[\\]", r"\\\g<0>", inside))
    name = f".dockerfile.{hashlib.sha256(os.fsencode(inside)).hexdigest()[:12]}" if outside else inside
    # BuildKit recognises an archive by its first block, which must not be a PAX header.
    with tarfile.open(fileobj=into, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(dockerfile.resolve(), name, filter=_as_root)
        for path in _included(context, dockerfile, needed):
            if path != name:
                tar.add(context / path, path, recursive=False, filter=_as_root)
    return name


def special_files(context: Path, dockerfile: Path) -> list[str]:
    """Return the FIFOs, devices and sockets of a context. A build does not get them, and they are not opened."""
    names = _included(context, dockerfile)
    return [name for name in names if not _is_part((context / name).lstat().st_mode)]


def _is_part(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (entry.isreg() or entry.isdir() or entry.issym() or entry.islnk()):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
