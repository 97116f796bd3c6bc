"""A clone of Slipway in a folder of its own, in which commands run as a user runs them."""

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.support.command import Command
from tests.support.waiting import PATIENCE

REPOSITORY = Path(__file__).parents[2]
VERSION = "version"
"""The tag of the commit that holds the tree of which a clone was made."""
FOREIGN = re.compile(r"^(PYTHON|PULUMI_|SLIPWAY_(?!CACHE|PYTHON)|VIRTUAL_ENV|MAKE|MFLAGS|PYTEST_)")
"""Variables of the test run, which a user's shell does not have."""


@dataclass(frozen=True)
class Clone:
    """A clone of the working tree as it is, uncommitted changes included, with a clean git status."""

    root: Path
    home: Path
    """An empty folder for Pulumi's credentials, so that a login of the operator is not used."""
    printed: list[str] = field(default_factory=list)
    """The output of every command in this clone."""
    _started: list[tuple[str, ...]] = field(default_factory=list, init=False, repr=False)

    @classmethod
    def make(cls, folder: Path, commit: str = "") -> "Clone":
        """Commit a copy of the working tree, untracked files included, or of an older commit's tree."""
        root, home = folder / "clone", folder / "credentials"
        home.mkdir(parents=True)
        root.mkdir()
        if commit:
            archive = subprocess.run(
                ["git", "-c", "tar.umask=user", "archive", commit],
                cwd=REPOSITORY,
                capture_output=True,
                check=True,
            ).stdout
            subprocess.run(["tar", "--extract"], cwd=root, input=archive, check=True)
        else:
            _copy_working_tree(root)
        clone = cls(root, home)
        clone.git("init", "--quiet")
        # git ignores a user's `local` stack in the same way.
        with (root / ".git/info/exclude").open("a") as exclude:
            exclude.write("Pulumi.e2e*.yaml\n")
        clone.commit("The tree as it is")
        clone.git("tag", VERSION)
        return clone

    def upgrade(self) -> None:
        """Replace the tree that the clone was made of with the working tree, as a user's `git pull` does.

        Untracked files stay, and so do the user's own commits.
        """
        before = set(filter(None, self.git("ls-tree", "-r", "-z", "--name-only", VERSION).split("\0")))
        for name in before - _copy_working_tree(self.root):
            (self.root / name).unlink()
        self.commit("The new version")

    @cached_property
    def environment(self) -> dict[str, str]:
        """The commands' environment: a user's login shell, with Pulumi's event log allowed."""
        own = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        return own | {"PULUMI_CREDENTIALS_PATH": str(self.home), "PULUMI_DEBUG_COMMANDS": "true"}

    def git(self, *arguments: str) -> str:
        """The standard output of a git command in the clone."""
        author = ("-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "-c", "commit.gpgsign=false")
        result = subprocess.run(
            ["git", *author, *arguments], cwd=self.root, capture_output=True, text=True, timeout=PATIENCE
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def commit(self, message: str) -> None:
        """Commit every change."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def untracked(self) -> set[str]:
        """The files that git neither has nor ignores."""
        return set(filter(None, self.git("ls-files", "-z", "--others", "--exclude-standard").split("\0")))

    @property
    def commands(self) -> int:
        """A number that grows with each command that begins, and with each that ends."""
        return len(self._started) + len(self.printed)

    def start(self, *arguments: str) -> Command:
        """Start a command in the clone."""
        self._started.append(arguments)
        return Command(arguments, self.root, self.environment, self.printed)

    def read(self, *arguments: str, given: str = "") -> str:
        """The standard output of a command, which gets this input. It may be secret, so `printed` does not get it."""
        self._started.append(arguments)
        result = subprocess.run(
            arguments,
            cwd=self.root,
            env=self.environment,
            input=given or None,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert result.returncode == 0, f"{arguments}: {result.stderr}"
        return result.stdout

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file of the clone."""
        path = self.root / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new))

    def greet(self, greeting: str) -> str:
        """Give the sample app a new greeting, committed, and return the old one."""
        path = self.root / "app/config.json"
        config = json.loads(path.read_text())
        before: str = config["greeting"]
        path.write_text(json.dumps(config | {"greeting": greeting}, indent=2) + "\n")
        self.commit(greeting)
        return before

    @contextlib.contextmanager
    def edited(self, name: str, old: str, new: str) -> Iterator[None]:
        """Change a file of the clone for a while."""
        before = (self.root / name).read_bytes()
        self.edit(name, old, new)
        try:
            yield
        finally:
            (self.root / name).write_bytes(before)


def _copy_working_tree(folder: Path) -> set[str]:
    """Copy the working tree as it is, uncommitted changes included. Returns the names of its files.

    A file of the same content keeps its mode, as git would leave it: images depend on modes too.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()}
    for name in names:
        source, target = REPOSITORY / name, folder / name
        if not (target.is_file() and _as_git_sees(source) == _as_git_sees(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return names


def _as_git_sees(path: Path) -> tuple[bool, bool, bytes]:
    """What git records of a file: whether it is a link, whether it can be run, and its content."""
    return path.is_symlink(), os.access(path, os.X_OK), path.read_bytes()
