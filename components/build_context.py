"""A build context: what of it goes into a build, and the content tag of that.

A file counts as git keeps it: its content, and whether its owner may execute it. So two clones have the same tag,
whatever the umask was when they were made.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from configuration.files import ignore_file, read, read_text
from configuration.private_files import PrivateFiles
from dockerfiles.ignore import Ignore, UnreadableFolder

TAG_LENGTH = 12
"""Hexadecimal digits of a content tag: 48 bits, so that two builds of a team do not collide."""

_PIECE = 1 << 20
"""Bytes that are read at a time, since a file may be larger than the memory."""


class Copy(Protocol):
    """Takes the parts of a context while they are read, each with its path relative to the context."""

    def folder(self, path: str) -> None:
        """Take an empty folder."""

    def link(self, path: str, target: str) -> None:
        """Take a symbolic link."""

    def file(self, path: str, pieces: Iterator[bytes], *, executable: bool) -> None:
        """Take a file. All pieces have to be read."""


@dataclass
class Content:
    """What of a context was read."""

    tag: str = ""
    """The content tag."""
    dockerfile: bytes = b""
    """The Dockerfile."""
    private: list[str] = field(default_factory=list)
    """Files that never go into a build, though .dockerignore does not leave them out."""
    special: list[str] = field(default_factory=list)
    """FIFOs, devices and sockets, which a build does not get."""


def files(context: Path, dockerfile: Path) -> Iterator[Path]:
    """The files and links of a build, in a fixed order; see `paths`."""
    for path in (context / name for name in _paths(context, dockerfile, Content())):
        if path.is_symlink() or path.is_file():
            yield path


def _paths(context: Path, dockerfile: Path, content: Content) -> Iterator[str]:
    """The paths of a build, folders among them, in a fixed order. Links are not followed.

    `<dockerfile>.dockerignore` has priority over `.dockerignore`, as in Docker. Private files are left out.

    Raises:
        UnfitFile: the file with the patterns must not or cannot be read.
        InvalidPattern: Docker would refuse a pattern.
        UnreadableFolder: a folder that no pattern leaves out cannot be read.
    """
    file = ignore_file(context, dockerfile)
    ignore = Ignore.of(read_text(file, within=context) if file else "")
    private = PrivateFiles(context, Path.cwd())
    content.private = private.found
    yield from ignore.walk(context, private)


def content_tag(
    context: Path, dockerfile: Path | None = None, arguments: Mapping[str, str] | None = None
) -> str:
    """A tag that changes if, and only if, the files, their modes, the Dockerfile or the build arguments change.

    Raises:
        UnfitFile: the Dockerfile or the file with the patterns must not or cannot be read.
        InvalidPattern: Docker would refuse a pattern.
        pulumi.RunError: another file or a folder of the context cannot be read.
    """
    return read_content(context, dockerfile or context / "Dockerfile", arguments or {}).tag


def read_content(
    context: Path, dockerfile: Path, arguments: Mapping[str, str], copy: Copy | None = None
) -> Content:
    """Read what goes into a build, and give it to a copy, if there is one. The tag is that of the bytes it gets.

    Raises:
        as `content_tag`.
    """
    digest = hashlib.sha256()
    content = Content(dockerfile=read(dockerfile, within=context))

    def add(*parts: bytes) -> None:
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)

    add(b"dockerfile", content.dockerfile)
    for name, value in sorted(arguments.items()):
        add(b"argument", name.encode(), value.encode())
    try:
        for name in _paths(context, dockerfile, content):
            path = context / name
            # A name need not be UTF-8.
            inside = os.fsencode(name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                target = os.readlink(path)  # noqa: PTH115 - its text, which pathlib would change
                add(b"link", inside, os.fsencode(target))
                if copy:
                    copy.link(name, target)
            elif stat.S_ISDIR(mode):
                # git keeps no empty folder, but a Dockerfile may copy one.
                if _is_empty(path, name):
                    add(b"folder", inside)
                    if copy:
                        copy.folder(name)
            elif not stat.S_ISREG(mode):
                content.special.append(name)
            else:
                _add_file(digest, path, name, copy)
    except UnreadableFolder as error:
        raise _unusable(context, str(error)) from None
    except OSError as error:
        name = os.path.relpath(error.filename, context) if error.filename else "a file"
        raise _unusable(context, f"{name[-100:]!r} cannot be read: {error.strerror or error}") from None
    content.tag = digest.hexdigest()[:TAG_LENGTH]
    return content


def _is_empty(folder: Path, name: str) -> bool:
    try:
        with os.scandir(folder) as found:
            return next(found, None) is None
    except OSError as error:
        raise UnreadableFolder(f"the folder {name[-100:]!r} cannot be read: {error.strerror}") from None


def _add_file(digest: "hashlib._Hash", path: Path, name: str, copy: Copy | None) -> None:
    # A FIFO or a link may have replaced it: opening must neither wait nor follow.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as stream:  # noqa: PTH123 - a descriptor
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it changed while it was read", str(path))
        executable = bool(status.st_mode & 0o100)
        for part in (b"file", os.fsencode(name), b"x" if executable else b"-"):
            digest.update(len(part).to_bytes(8, "big") + part)
        digest.update(status.st_size.to_bytes(8, "big"))

        def pieces() -> Iterator[bytes]:
            # A log may be growing: what was added since does not count.
            left = status.st_size
            while left:
                piece = stream.read(min(left, _PIECE))
                if not piece:
                    raise OSError(0, "it changed while it was read", str(path))
                left -= len(piece)
                digest.update(piece)
                yield piece

        if copy:
            copy.file(name, pieces(), executable=executable)
        else:
            for _ in pieces():
                pass


def _unusable(context: Path, reason: str) -> Exception:
    import pulumi  # the toolchain, which uses this module too, starts faster without it

    return pulumi.RunError(
        f"The build context {context} cannot be used: {reason}. "
        "Give your user the right to read it, or leave it out with a pattern in .dockerignore."
    )
