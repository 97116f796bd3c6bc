"""Where Pulumi keeps the stacks' state: the user's backend if one is set, else a file backend in the clone."""

import contextlib
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from cli.stack.deployment import Deployment
from cli.stack.processes import local_time
from cli.stack.project import Project

KEPT_UPDATES = 50
"""How many updates of a stack the clone's own backend remembers."""


@dataclass(frozen=True)
class Lock:
    """A stack's lock in a file backend: a Pulumi command holds it, or was killed while it held it."""

    pid: int
    """The command's process id, on the machine `host`."""
    host: str
    since: datetime
    user: str = ""
    """The name of the command's user."""
    path: Path | None = None
    """Its file; None for a backend whose files this machine does not see."""

    def __str__(self) -> str:
        """Who, where and since when."""
        who = f" of {self.user}" if self.user else ""
        return f"process {self.pid}{who} on {self.host}, since {local_time(self.since)}"

    def release(self) -> None:
        """Remove this lock and no other, which `pulumi cancel` would remove, too."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path.with_name(f"{self.path.name}.attrs").unlink(missing_ok=True)


@dataclass(frozen=True)
class Backend:
    """Where Pulumi keeps stacks."""

    url: str
    """In Pulumi's format; empty if Pulumi finds the backend itself (by a login or a token)."""
    is_own: bool = False
    """Whether it is the clone's file backend, which is used by default."""

    @classmethod
    def of(cls, project: Project, variables: Mapping[str, str]) -> "Backend":
        """The backend that the environment or a login selects, else the clone's own.

        A login counts if it is in the user's ~/.pulumi, but not in Slipway's PULUMI_HOME.
        """
        if url := variables.get("PULUMI_BACKEND_URL", ""):
            return cls(url)
        if url := _backend_in(project.root / "Pulumi.yaml"):
            return cls(url)
        if variables.get("PULUMI_ACCESS_TOKEN"):
            return cls("")
        credentials = Path(variables.get("PULUMI_CREDENTIALS_PATH") or Path.home() / ".pulumi")
        try:
            current = json.loads((credentials / "credentials.json").read_text()).get("current")
        except (OSError, ValueError, AttributeError):
            current = None
        if isinstance(current, str) and current:
            return cls(current)
        state = project.private / "state"
        state.mkdir(mode=0o700, exist_ok=True)
        return cls.in_directory(state)

    @classmethod
    def in_directory(cls, directory: Path) -> "Backend":
        """A file backend of Slipway's. Characters such as # and % would end or change a URL, so they are encoded."""
        return cls(f"file://{quote(str(directory))}", is_own=True)

    @property
    def keeps_secrets(self) -> bool:
        """Whether the backend encrypts secrets itself, as Pulumi Cloud does, so that no passphrase is needed."""
        return urlsplit(self.url).scheme in {"", "https", "http"}

    @cached_property
    def directory(self) -> Path | None:
        """The directory of a file backend; None for any other backend."""
        parts = urlsplit(self.url)
        if parts.scheme != "file":
            return None
        path = unquote(parts.netloc + parts.path)
        return Path(path or "/").expanduser()

    def make(self) -> None:
        """Make the directory of the clone's file backend: Pulumi does not make it."""
        if self.is_own and self.directory is not None:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def state_file(self, project: str, stack: str) -> Path | None:
        """The file with the stack's state in a file backend; None for another backend or a missing stack."""
        if self.directory is None:
            return None
        folder = self.directory / ".pulumi" / "stacks" / project
        candidates = (folder / f"{stack}.json", folder / f"{stack}.json.gz")
        return next((path for path in candidates if path.is_file()), None)

    def deployment(self, project: str, stack: str) -> Deployment | None:
        """The stack's state from its file, which takes milliseconds; the Pulumi CLI takes a third of a second.

        None for another backend or a missing stack.
        """
        path = self.state_file(project, stack)
        if path is None:
            return None
        content = path.read_bytes()
        checkpoint: dict[str, Any] = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
        return (checkpoint.get("checkpoint") or {}).get("latest") or {}

    def mend(self, project: str, stack: str) -> None:
        """Remove empty attribute files that a killed write has left in a file backend.

        Pulumi writes state files atomically, but not the attribute files beside them. An empty one makes every command
        fail with "failed to load checkpoint: EOF". A missing one does no harm.
        """
        if self.directory is None:
            return
        pulumi = self.directory / ".pulumi"
        written = (pulumi / "stacks" / project).glob(f"{stack}.json*.attrs")
        locks = (pulumi / "locks" / "organization" / project / stack).glob("*.attrs")
        for path in (*written, *locks):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size == 0:
                    path.unlink()

    def trim(self, project: str, stack: str) -> None:
        """Remove the history and the backups of old updates from the clone's own backend: half a megabyte an update.

        `KEPT_UPDATES` stay. The state itself, and a backend of the user's own, are left alone.
        """
        if not self.is_own or self.directory is None:
            return
        name = re.escape(stack)
        for folder, pattern in (
            ("history", rf"{name}-(\d+)\.(?:history|checkpoint)\.json(?:\.gz)?(?:\.attrs)?"),
            ("backups", rf"{name}\.(\d+)\.json(?:\.gz)?(?:\.attrs)?"),
        ):
            by_update: dict[int, list[Path]] = {}
            for path in (self.directory / ".pulumi" / folder / project / stack).glob("*"):
                if (match := re.fullmatch(pattern, path.name)) and path.is_file() and not path.is_symlink():
                    by_update.setdefault(int(match[1]), []).append(path)
            for update in sorted(by_update)[:-KEPT_UPDATES]:
                for path in by_update[update]:
                    path.unlink(missing_ok=True)

    def locks(self, project: str, stack: str) -> list[Lock]:
        """The locks of a stack in a file backend."""
        if self.directory is None:
            return []
        folder = self.directory / ".pulumi" / "locks" / "organization" / project / stack
        found = []
        for path in folder.glob("*.json"):
            try:
                content = json.loads(path.read_text())
                found.append(
                    Lock(
                        int(content["pid"]),
                        str(content["hostname"]),
                        moment(str(content["timestamp"])),
                        str(content.get("username") or ""),
                        path,
                    )
                )
            except FileNotFoundError:
                continue  # released meanwhile
            except (ValueError, KeyError, TypeError, AttributeError):
                # A killed write leaves an empty file, by which nobody can tell whose it is.
                written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                found.append(Lock(0, "", written, "", path))
        return found


def _backend_in(project_file: Path) -> str:
    """The backend in Pulumi.yaml (`backend: { url: … }`), or empty."""
    text = project_file.read_text(encoding="utf-8")
    if not re.search(r"^backend:", text, re.MULTILINE):
        return ""
    import yaml

    backend = (yaml.safe_load(text) or {}).get("backend")
    return str((backend or {}).get("url") or "")


def moment(text: str) -> datetime:
    """A time in Go's format, which has up to nine decimals; Python reads at most six."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
