"""git commands, which run in the project's own repository only.

A repository's configuration can make git run commands: a file system monitor, filters, hooks, a pager. The operator
owns the configuration of the project's repository. A build context may be written by others, and its plain files can
form a repository with its own configuration. So git runs at the top of the project's repository, and a context is
only a path argument.

A filter named in `.gitattributes` runs only if the operator's own configuration defines it, as with git-lfs.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import child_environment

PATIENCE = 30
"""Limit for one git command, in seconds."""

_OPTIONS = (
    "--no-pager",
    # git takes no locks and writes no index, so other git commands need not wait.
    "--no-optional-locks",
    # A path such as `app[1]` is no pattern.
    "--literal-pathspecs",
    # If `.git` is removed meanwhile, git must not take the plain files of the tree for a bare repository.
    *("-c", "safe.bareRepository=explicit"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "log.showSignature=false"),
)


@dataclass(frozen=True)
class Repository:
    """The repository that contains the project."""

    root: Path
    """The top of its working tree, with links resolved."""

    @classmethod
    def of(cls, project: Path) -> "Repository | None":
        """The repository of a directory: the nearest parent with a `.git`, on the same file system.

        A commit cannot contain a path with the name `.git`, so the operator made this repository. git itself refuses a
        repository of another user (`safe.directory`).
        """
        folder = project.resolve()
        device = folder.stat().st_dev
        for candidate in (folder, *folder.parents):
            if candidate.stat().st_dev != device:
                return None
            git = candidate / ".git"
            if git.is_file() or (git / "HEAD").is_file():
                return cls(candidate)
        return None

    def place_of(self, folder: Path) -> Path | None:
        """A folder's path from the top; None if it is outside the repository or in a nested one."""
        place = folder.resolve()
        if not place.is_relative_to(self.root):
            return None
        inside = place.relative_to(self.root)
        steps = [self.root.joinpath(*inside.parts[:depth]) for depth in range(1, len(inside.parts) + 1)]
        if ".git" in inside.parts or any((step / ".git").exists() for step in steps):
            return None
        return inside

    def ask(
        self,
        command: str,
        *arguments: str,
        path: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> "Question":
        """Start a git command, for one path if given, with more variables than its own."""
        rest = () if path is None else ("--", path.as_posix())
        variables = {**child_environment.of("git"), **environment}
        # git must not search above the top.
        variables["GIT_CEILING_DIRECTORIES"] = str(self.root.parent)
        variables["GIT_TERMINAL_PROMPT"] = "0"
        try:
            process = subprocess.Popen(
                ["git", *_OPTIONS, command, *arguments, *rest],
                cwd=self.root,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
            )
        except FileNotFoundError:
            return Question(None)
        return Question(process)


@dataclass(frozen=True)
class Question:
    """A running git command."""

    process: subprocess.Popen[str] | None
    """Its process; None if this machine has no git."""

    def answer(self) -> str:
        """Its output; empty if it failed."""
        return (self.output() or "").strip()

    def output(self) -> str | None:
        """Its output to the letter; None if it failed."""
        if self.process is None:
            return None
        try:
            printed, _ = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return None
        return printed if self.process.returncode == 0 else None
