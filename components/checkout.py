"""Clean checkouts: the files of a commit, from which the images of services with `build.source: commit` are built.

git writes them through an index of their own, so that neither the working tree nor its index is touched. Filters that
the operator's configuration defines run, as they do at any checkout. `git archive` would not do: it leaves out and
changes files by attributes, and the image would differ from that of a clean working tree.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pulumi

from components.git import Repository
from components.staged_context import scratch
from configuration.services import BaseImageSettings, BuildSettings
from configuration.settings import StackSettings
from well_known import KEEP_VARIABLE, PROMOTE_VARIABLE, ROLLBACK_VARIABLE

SHOWN = 20
"""How many changed files a message lists."""
_ORDERS = (ROLLBACK_VARIABLE, KEEP_VARIABLE, PROMOTE_VARIABLE)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_LARGEST_POINTER = 1024
_SUBMODULE = "160000"


@dataclass(frozen=True)
class Checkout:
    """The files of a build context as the last commit has them."""

    context: Path
    """Where they are until this process ends."""
    changed: tuple[str, ...] = ()
    """The files of the context that differ from it, or that git does not know, relative to the repository."""
    problems: tuple[str, ...] = ()
    """Why the context cannot be checked out."""


def context_of(build: BaseImageSettings, *, from_commit: bool) -> Path:
    """Where a build's files are: the working tree, or a clean checkout."""
    return checkout(Path(build.context)).context if from_commit else Path(build.context)


def require_commits(settings: StackSettings) -> None:
    """Refuse to build what is in no commit, where a service asks for that.

    An update that goes back to a version, keeps one or promotes one builds nothing, so changed files do not end it.

    Raises:
        pulumi.RunError: a context has changed files, or cannot be checked out; nothing was touched.
    """
    ordered = any(os.environ.get(variable) for variable in _ORDERS)
    mistakes = [
        f"services.{name}.build.source = commit: {problem}"
        for name, build in settings.built_services.items()
        if build.from_commit and settings.build_host
        for problem in dict.fromkeys(_problems(build, ordered=ordered))
    ]
    if mistakes:
        raise pulumi.RunError("nothing was touched:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))


def _problems(build: BuildSettings, *, ordered: bool) -> Iterator[str]:
    for step in (build.base, build):
        if step is None:
            continue
        found = checkout(Path(step.context))
        yield from found.problems
        if found.changed and not ordered:
            more = len(found.changed) - SHOWN
            files = "\n".join(f"    {name}" for name in found.changed[:SHOWN])
            yield (
                f"{step.context} has files that are in no commit. Commit, stash or ignore them:\n{files}"
                f"{f'{chr(10)}    and {more} more' if more > 0 else ''}"
            )
        elif not found.problems and not (found.context / step.dockerfile).is_file():
            yield f"the last commit does not have {step.dockerfile_path}. Add it to git."


@cache
def checkout(context: Path) -> Checkout:
    """A clean checkout of a build context, made once in a process.

    Args:
        context: relative to the project.
    """
    repository = Repository.of(context) if context.is_dir() else None
    place = repository.place_of(context) if repository else None
    if repository is None or place is None:
        return Checkout(context, problems=(f"{context} is in no git repository.",))
    folder = scratch(pulumi.get_stack())
    writer = _Writer(repository, folder / "index")
    writer.write(repository, "HEAD", place, folder / "files", Path())
    inside = folder / "files" / place
    if not writer.problems:
        writer.problems += _pointers(repository, inside, folder / "files")
    return Checkout(inside, tuple(writer.changed), tuple(writer.problems))


@dataclass
class _Writer:
    """Writes the files of a commit, and those of its submodules."""

    top: Repository
    index: Path
    """An index of git for this alone."""
    problems: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def write(self, repository: Repository, commit: str, place: Path, folder: Path, above: Path) -> None:
        """Write what a commit has in a place of a repository, and compare the working tree with it.

        Args:
            repository: the operator's, or that of a submodule.
            commit: the commit.
            place: relative to the repository.
            folder: where to.
            above: the repository's own place in the operator's.
        """
        root = "" if place == Path() else place.as_posix()
        own = {"GIT_INDEX_FILE": str(self.index)}
        where = [f"--prefix={root}/", f"{commit}:{root}"] if root else [commit]
        compared = repository.ask("status", *_STATUS, path=place)
        if repository.ask("read-tree", *where, environment=own).output() is None:
            self.problems.append(
                f"{above} is at a commit that git does not have: {_FETCH}"
                if above.parts
                else f"the last commit does not have {root or 'anything'}. Add it to git."
            )
            return
        listed = repository.ask("ls-files", "--stage", "-z", environment=own).output()
        written = repository.ask("checkout-index", "--all", "--force", f"--prefix={folder}/", environment=own)
        status = compared.output()
        if listed is None or written.output() is None or status is None:
            self.problems.append(
                f"git cannot check out {above / place}: `git -C {repository.root} status` may say why."
            )
            return
        self.changed += [(above / one[3:]).as_posix() for one in status.split("\0") if one[3:]]
        self.index.unlink(missing_ok=True)
        for entry in listed.split("\0"):
            mode, _, rest = entry.partition(" ")
            if mode == _SUBMODULE:
                sha, path = rest.partition(" ")[0], rest.partition("\t")[2]
                self._write_submodule(repository.root / path, sha, folder / path, above / path)

    def _write_submodule(self, root: Path, commit: str, folder: Path, above: Path) -> None:
        submodule = _submodule(root, self.top)
        if submodule is None:
            self.problems.append(f"the submodule {above} is not there: {_FETCH}")
        else:
            self.write(submodule, commit, Path(), folder, above)


_STATUS = ("--porcelain", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=dirty")
_FETCH = "`git submodule update --init --recursive` fetches it."


def _submodule(folder: Path, top: Repository) -> Repository | None:
    """A submodule whose repository is a part of the operator's own, so that nobody else has configured it."""
    common = top.ask("rev-parse", "--path-format=absolute", "--git-common-dir").answer()
    try:
        word, _, place = (folder / ".git").read_text().strip().partition(": ")
        inside = (folder / place).resolve().is_relative_to(Path(common).resolve()) if common else False
    except OSError:
        return None
    return Repository(folder.resolve()) if word == "gitdir" and inside else None


def _pointers(repository: Repository, inside: Path, folder: Path) -> Iterator[str]:
    """Files of Git LFS whose content git does not have here."""
    found = [
        path.relative_to(folder)
        for path in sorted(inside.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST_POINTER
        if path.read_bytes().startswith(_LFS_POINTER)
    ]
    lost = [
        path for path in found if repository.ask("check-attr", "filter", path=path).answer().endswith(": lfs")
    ]
    if lost:
        names = ", ".join(map(str, lost[:SHOWN]))
        yield f"git has only the pointers of Git LFS for {names}: `git lfs install` and `git lfs pull` fetch the files."
