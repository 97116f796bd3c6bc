"""A build context: its content tag, and its source in git."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.git import Repository
from configuration.files import ignore_file, read, read_text
from dockerfiles.ignore import Ignore, UnreadableFolder

TAG_LENGTH = 12
"""Hexadecimal digits of a content tag: 48 bits, so that two builds of a team do not collide."""


def files(context: Path, dockerfile: Path) -> Iterator[Path]:
    """The files of a build, in a fixed order. Links are not followed; FIFOs, devices and sockets are left out.

    `<dockerfile>.dockerignore` has priority over `.dockerignore`, as in Docker.

    Raises:
        UnfitFile: the file with the patterns must not or cannot be read.
        InvalidPattern: Docker would refuse a pattern.
        UnreadableFolder: a folder that no pattern leaves out cannot be read.
    """
    file = ignore_file(context, dockerfile)
    ignore = Ignore.of(read_text(file, within=context) if file else "")
    for name in ignore.walk(context):
        path = context / name
        if path.is_symlink() or path.is_file():
            yield path


def content_tag(
    context: Path, dockerfile: Path | None = None, arguments: Mapping[str, str] | None = None
) -> str:
    """A tag that changes if, and only if, the files, their modes, the Dockerfile or the build arguments change.

    Raises:
        UnfitFile: the Dockerfile or the file with the patterns must not or cannot be read.
        InvalidPattern: Docker would refuse a pattern.
        pulumi.RunError: another file or a folder of the context cannot be read.
    """
    dockerfile = dockerfile or context / "Dockerfile"
    digest = hashlib.sha256()

    def add(*parts: bytes) -> None:
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)

    add(b"dockerfile", read(dockerfile, within=context))
    for name, value in sorted((arguments or {}).items()):
        add(b"argument", name.encode(), value.encode())
    try:
        for path in files(context, dockerfile):
            # A name need not be UTF-8.
            inside = os.fsencode(path.relative_to(context).as_posix())
            if path.is_symlink():
                add(b"link", inside, os.fsencode(path.readlink().as_posix()))
            else:
                executable = b"x" if path.stat().st_mode & 0o100 else b"-"
                add(b"file", inside, executable, path.read_bytes())
    except UnreadableFolder as error:
        raise _unreadable(context, str(error)) from None
    except OSError as error:
        name = os.path.relpath(error.filename, context) if error.filename else "a file"
        raise _unreadable(context, f"{name[-100:]!r} cannot be read: {error.strerror}") from None
    return digest.hexdigest()[:TAG_LENGTH]


def _unreadable(context: Path, reason: str) -> Exception:
    import pulumi  # the toolchain, which uses this module too, starts faster without it

    return pulumi.RunError(
        f"The build context {context} cannot be used: {reason}. "
        "Give your user the right to read it, or leave it out with a pattern in .dockerignore."
    )


@dataclass(frozen=True)
class Source:
    """Where a build context comes from, for the image's OCI labels. Both are empty if git does not track it."""

    revision: str
    """The last commit that changed the context, with `-dirty` if the working tree differs from it.

    A commit that changes only other parts of the repository must not change the image.
    """
    url: str
    """The repository's URL, from `git remote get-url origin`, without user name and password."""


def source(context: Path, project: Path) -> Source:
    """The source of a context, from the project's repository.

    A context outside the repository, or in a nested one (a submodule, a clone), has no source, since the nested
    repository's configuration could make git run commands. For the same reason `-dirty` ignores changed files inside
    a submodule of the context; another commit of the submodule counts.

    Args:
        context: the build context.
        project: the directory of the Pulumi project.
    """
    repository = Repository.of(project)
    path = repository.place_of(context) if repository else None
    if repository is None or path is None:
        return Source(revision="", url="")
    # The three commands run at the same time, since each takes milliseconds of every update.
    last = repository.ask("log", "-1", "--format=%H", "--no-ext-diff", "--no-textconv", path=path)
    # Reading the files of a submodule would use the submodule's configuration.
    changes = repository.ask("status", "--porcelain", "--ignore-submodules=dirty", path=path)
    origin = repository.ask("remote", "get-url", "origin")
    revision = last.answer()
    if changes.answer() and revision:
        revision += "-dirty"
    scheme, separator, rest = origin.answer().rpartition("://")
    url = f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else rest
    return Source(revision=revision, url=url)
