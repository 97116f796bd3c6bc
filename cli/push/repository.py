"""git, for repositories that this machine's user owns: what is pushed to, and the clones that are deployed."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import child_environment
from cli.errors import CommandError
from cli.text import clean, first_line

PATIENCE = 600
"""Seconds that a command may take: a forge may be slow."""
_OPTIONS = (
    *("--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"),
    *("-c", "gc.autoDetach=false"),
)


@dataclass(frozen=True)
class Repository:
    """A repository's folder: the bare one, or `.git` of a clone."""

    folder: Path
    objects: Mapping[str, str] = field(default_factory=dict)
    """The variables by which git finds the objects of a push that it has not taken yet."""

    def run(self, *arguments: str, tree: Path | None = None, given: bytes = b"") -> bytes:
        """The output of a git command.

        Args:
            arguments: the command and its arguments.
            tree: the working tree, for commands that have one.
            given: its standard input.

        Raises:
            CommandError: it failed.

        """
        done = self._run(arguments, tree, given)
        if done.returncode:
            said = first_line(done.stderr.decode(errors="replace"))
            raise CommandError(f"git {arguments[0]}: {clean(said) or f'status {done.returncode}'}", status=1)
        return done.stdout

    def _run(
        self, arguments: tuple[str, ...], tree: Path | None = None, given: bytes = b""
    ) -> "subprocess.CompletedProcess[bytes]":
        where = [f"--git-dir={self.folder}", *([f"--work-tree={tree}"] if tree else [])]
        return subprocess.run(
            ["git", *where, *_OPTIONS, *arguments],
            cwd=tree or self.folder,
            env={**child_environment.of("git"), **self.objects, "GIT_TERMINAL_PROMPT": "0"},
            input=given,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    def tip(self, branch: str) -> str:
        """The commit of a branch; empty if there is none."""
        return self._says("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")

    def has(self, revision: str) -> bool:
        """Whether a commit is there."""
        return not self._run(("cat-file", "-e", f"{revision}^{{commit}}")).returncode

    def contains(self, revision: str, older: str) -> bool:
        """Whether a commit comes after an older one, or is it."""
        return not self._run(("merge-base", "--is-ancestor", older, revision)).returncode

    def kind(self, revision: str, path: str) -> str:
        """The mode of a file in a commit, such as 100755; empty if it has none."""
        return self._says("ls-tree", "--format=%(objectmode)", revision, "--", path)

    def _says(self, *arguments: str) -> str:
        return self._run(arguments).stdout.decode(errors="replace").strip()

    def send(self, revision: str, target: "Repository", *, known: str = "") -> None:
        """Copy a commit with its history to another repository.

        By a stream, since git finds the objects of a push that it has not taken yet only in the push's own processes.

        Args:
            revision: the commit.
            target: where to.
            known: a commit that the target has; empty without one.

        """
        wanted = [revision, *([f"^{known}"] if known and self.has(known) else [])]
        objects = self.run(
            "pack-objects", "--revs", "--stdout", "-q", given=("\n".join(wanted) + "\n").encode()
        )
        target.run("unpack-objects", "-q", given=objects)


def made(folder: Path, *, bare: bool = False) -> Repository:
    """The repository of a folder, which is made if it is missing."""
    repository = Repository(folder if bare else folder / ".git")
    if not (repository.folder / "HEAD").is_file():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = ["--bare"] if bare else []
        # Without a template: its hooks would not be ours.
        done = subprocess.run(
            ["git", "init", "--quiet", "--template=", *kind, str(folder)],
            env=child_environment.of("git"),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"git init: {first_line(done.stderr)}")
    return repository
