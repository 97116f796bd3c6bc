"""What pushes deploy: a branch to a stack each, by whom; and where all of it is on this machine."""

import contextlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from cli.stack.file_lock import in_turn
from cli.stack.project import Project, write_private

NAME = "slipway"
"""The repository's name in the address that people push to."""


@dataclass
class Settings:
    """What pushes deploy. `./slip git-remote` writes it."""

    branches: dict[str, str] = field(default_factory=dict)
    """The stack of each branch."""
    operators: dict[str, dict[str, str]] = field(default_factory=dict)
    """Those who may push, with their public keys, for each stack: its operators, as they were deployed last."""


@dataclass
class Deployment:
    """The last deployment of a branch."""

    branch: str
    revision: str
    by: str
    """Who pushed it."""
    started: str
    """When, in ISO 8601."""
    status: int | None = None
    """The exit status of `up`; None while it runs, or if it was killed."""


@dataclass(frozen=True)
class Remote:
    """The remote of a clone: a folder in `.slipway`, for its owner alone."""

    project: Project
    """The clone that has the stacks' state, and the version of Slipway that receives pushes."""

    @classmethod
    def here(cls) -> "Remote":
        """That of this clone."""
        return cls(Project.here())

    @property
    def folder(self) -> Path:
        """Everything about pushes."""
        return self.project.private / "push"

    @property
    def repository(self) -> Path:
        """The bare repository that people push to."""
        return self.folder / "repository.git"

    @property
    def launcher(self) -> Path:
        """The script that sshd, git and the receiver of webhooks start: `slip` with this clone's cache."""
        return self.folder / "slip"

    @property
    def credentials(self) -> Path:
        """The environment of deployments, with backend and passphrase."""
        return self.folder / "environment.json"

    def clone(self, stack: str) -> Path:
        """The clone in which what was pushed is deployed."""
        return self.folder / "stacks" / stack / "clone"

    def lock(self, stack: str) -> Path:
        """The lock that the one deployment of a stack holds."""
        return self.folder / "stacks" / stack / "lock"

    def log(self, stack: str) -> Path:
        """What the last deployment printed."""
        return self.folder / "stacks" / stack / "log"

    @property
    def settings(self) -> Settings:
        """What pushes deploy now."""
        return self._read()

    @contextlib.contextmanager
    def changed(self) -> Iterator[Settings]:
        """Change the settings, one process after the other."""
        with in_turn(self.folder / "settings.lock"):
            settings = self._read()
            yield settings
            write_private(self._file, json.dumps(asdict(settings), indent=2) + "\n")

    @property
    def _file(self) -> Path:
        return self.folder / "settings.json"

    def _read(self) -> Settings:
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Settings()
        return Settings(**{one.name: content[one.name] for one in fields(Settings) if one.name in content})

    def last(self, stack: str) -> Deployment | None:
        """The last deployment by a push, if there was one."""
        try:
            return Deployment(**json.loads(self._last(stack).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def note(self, stack: str, deployment: Deployment) -> None:
        """Remember a deployment as the last one."""
        write_private(self._last(stack), json.dumps(asdict(deployment)) + "\n")

    def _last(self, stack: str) -> Path:
        return self.folder / "stacks" / stack / "last.json"

    def write_launcher(self, variables: dict[str, str]) -> None:
        """Write the script that starts this clone's `slip`, with what its start needs of the environment."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
        command = f'exec {shlex.quote(str(self.project.root / "slip"))} "$@"'
        write_private(self.launcher, "\n".join(["#!/bin/sh", *lines, command, ""]))
        self.launcher.chmod(0o700)
