"""What a build context holds: a tag that follows its content, and where it comes from in git."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pathspec

from components.git import Repository
from configuration.files import ignore_file, read, read_text

TAG_LENGTH = 12
"""Hexadecimal digits of a content tag: 48 bits, so that two builds of a team do not meet by chance."""


def ignored(context: Path, dockerfile: Path) -> pathspec.PathSpec[pathspec.Pattern]:
    """What `.dockerignore` leaves out of a context; `<dockerfile>.dockerignore` goes before it, as in Docker.

    Docker's patterns are git's, but for one thing: they are all relative to the context's root.
    """
    file = ignore_file(context, dockerfile)
    lines = read_text(file, within=context).splitlines() if file else []
    return pathspec.PathSpec.from_lines(
        "gitignore", [rule for line in lines for rule in _rules(line.strip())]
    )


def _rules(pattern: str) -> list[str]:
    """A line of Docker's in git's terms: from the root, and with all that is inside of what it names."""
    if not pattern or pattern.startswith("#"):
        return []
    negation = "!" if pattern.startswith("!") else ""
    name = pattern.removeprefix("!").strip().removeprefix("./").strip("/")
    return [f"{negation}/{name}", f"{negation}/{name}/**"]


def files(context: Path, dockerfile: Path) -> Iterator[Path]:
    """The files that a build sees, in a fixed order. Links are not followed.

    What is neither file nor link is left out: a FIFO, a device or a socket is not part of a build.
    """
    spec = ignored(context, dockerfile)
    for path in sorted(context.rglob("*")):
        if (path.is_symlink() or path.is_file()) and not spec.match_file(
            path.relative_to(context).as_posix()
        ):
            yield path


def content_tag(
    context: Path, dockerfile: Path | None = None, arguments: Mapping[str, str] | None = None
) -> str:
    """A tag that changes just when the files, their modes, the Dockerfile or the build arguments do."""
    dockerfile = dockerfile or context / "Dockerfile"
    digest = hashlib.sha256()

    def add(*parts: bytes) -> None:
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)

    add(b"dockerfile", read(dockerfile, within=context))
    for name, value in sorted((arguments or {}).items()):
        add(b"argument", name.encode(), value.encode())
    for path in files(context, dockerfile):
        inside = path.relative_to(context).as_posix().encode()
        if path.is_symlink():
            add(b"link", inside, path.readlink().as_posix().encode())
        else:
            executable = b"x" if path.stat().st_mode & 0o100 else b"-"
            add(b"file", inside, executable, path.read_bytes())
    return digest.hexdigest()[:TAG_LENGTH]


@dataclass(frozen=True)
class Source:
    """Where a build context comes from, for the image's OCI labels. Empty where git knows nothing of it."""

    revision: str
    """The last commit that touched the context, with `-dirty` where the working tree differs from it.

    Not the last commit of all: a change elsewhere in the repository must not change the image.
    """
    url: str
    """The repository, as `git remote get-url origin` has it, without a user's name or password."""


def source(context: Path, project: Path) -> Source:
    """What the project's repository says of a context.

    A context elsewhere, or in a repository of its own inside the project's (a submodule, a clone), has no source: its
    own configuration would tell git what to run. Neither has a change of files inside a submodule of the context any
    part in `-dirty`, but one of the submodule's commit has.

    Args:
        context: the build context.
        project: the directory of the Pulumi project.
    """
    repository = Repository.of(project)
    path = repository.place_of(context) if repository else None
    if repository is None or path is None:
        return Source(revision="", url="")
    # All at once: each takes milliseconds, of every update.
    last = repository.ask("log", "-1", "--format=%H", "--no-ext-diff", "--no-textconv", path=path)
    # A look at the files of a submodule would obey the submodule's configuration.
    changes = repository.ask("status", "--porcelain", "--ignore-submodules=dirty", path=path)
    origin = repository.ask("remote", "get-url", "origin")
    revision = last.answer()
    if changes.answer() and revision:
        revision += "-dirty"
    scheme, separator, rest = origin.answer().rpartition("://")
    url = f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else rest
    return Source(revision=revision, url=url)
