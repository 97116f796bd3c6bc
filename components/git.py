"""git, asked about the project's own repository only.

git does what the configuration of a repository says: it starts a file system monitor, filters, hooks, a pager. The
configuration of the project's repository is the operator's. A build context, however, may be a stranger's, and a
folder of plain files can be laid out as a repository with a configuration of its own. So git runs at the top of the
project's repository, and a context is only a path for it.

What `.gitattributes` of the tree names is run only where the operator's own configuration defines it, as with git-lfs.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import child_environment

PATIENCE = 30
"""Seconds that git may take for one answer."""

_OPTIONS = (
    "--no-pager",
    # Neither locks nor an index that is written, which another git would have to wait for.
    "--no-optional-locks",
    # A name such as `app[1]` is a name.
    "--literal-pathspecs",
    # Should `.git` go away meanwhile: the top of the tree is no repository by its plain files either.
    *("-c", "safe.bareRepository=explicit"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "log.showSignature=false"),
)


@dataclass(frozen=True)
class Repository:
    """The repository that the project is in."""

    root: Path
    """The top of its working tree, without links."""

    @classmethod
    def of(cls, project: Path) -> "Repository | None":
        """The repository that a directory is in: the nearest above it with a `.git` on the same file system.

        No pull request can hold a path with the name `.git`, so this is what the operator cloned. git itself refuses
        one that belongs to another user (`safe.directory`).
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
        """A folder's path from the top; None for one elsewhere, or in a repository of its own inside this one."""
        place = folder.resolve()
        if not place.is_relative_to(self.root):
            return None
        inside = place.relative_to(self.root)
        steps = [self.root.joinpath(*inside.parts[:depth]) for depth in range(1, len(inside.parts) + 1)]
        if ".git" in inside.parts or any((step / ".git").exists() for step in steps):
            return None
        return inside

    def ask(self, command: str, *arguments: str, path: Path | None = None) -> "Question":
        """Start a git command, about one path if one is given."""
        rest = () if path is None else ("--", path.as_posix())
        environment = child_environment.of("git")
        # Should it find no repository at the top, it must not go on looking further up.
        environment["GIT_CEILING_DIRECTORIES"] = str(self.root.parent)
        environment["GIT_TERMINAL_PROMPT"] = "0"
        try:
            process = subprocess.Popen(
                ["git", *_OPTIONS, command, *arguments, *rest],
                cwd=self.root,
                env=environment,
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
    """A git command that runs; None where this machine has no git."""

    process: subprocess.Popen[str] | None

    def answer(self) -> str:
        """What it printed; empty where it failed."""
        if self.process is None:
            return ""
        try:
            printed, _ = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return ""
        return printed.strip() if self.process.returncode == 0 else ""
