"""Where the stack's state is kept: in the user's own backend where one is set, else in a file backend of the clone."""

import contextlib
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cli.stack.deployment import Deployment
from cli.stack.project import Project


@dataclass(frozen=True)
class Lock:
    """A lock of a file backend: some Pulumi command holds the stack, or was killed while it did."""

    pid: int
    """The command's process id, on the machine `host`."""
    host: str
    since: datetime


@dataclass(frozen=True)
class Backend:
    """Where Pulumi keeps stacks."""

    url: str
    """As Pulumi takes it; empty if Pulumi finds its backend by itself (a login, a token)."""
    is_own: bool = False
    """Whether it is the clone's own file backend, which nobody asked for."""

    @classmethod
    def of(cls, project: Project, variables: Mapping[str, str]) -> "Backend":
        """The backend that the environment or a login chooses, else the clone's own.

        A login counts if it is in the user's own ~/.pulumi, never one that is in a PULUMI_HOME of Slipway's.
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
        return cls(f"file://{state}", is_own=True)

    @property
    def keeps_secrets(self) -> bool:
        """Whether it encrypts stacks' secrets itself, as Pulumi's service does, and so asks for no passphrase."""
        return urlsplit(self.url).scheme in {"", "https", "http"}

    @cached_property
    def directory(self) -> Path | None:
        """The directory of a file backend, None for any other."""
        parts = urlsplit(self.url)
        if parts.scheme != "file":
            return None
        path = unquote(parts.netloc + parts.path)
        return Path(path or "/").expanduser()

    def make(self) -> None:
        """Make the directory of a file backend of Slipway's, which Pulumi wants to find."""
        if self.is_own and self.directory is not None:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def state_file(self, project: str, stack: str) -> Path | None:
        """The stack's state in a file backend, where there is one; None where the stack is not there."""
        if self.directory is None:
            return None
        folder = self.directory / ".pulumi" / "stacks" / project
        candidates = (folder / f"{stack}.json", folder / f"{stack}.json.gz")
        return next((path for path in candidates if path.is_file()), None)

    def deployment(self, project: str, stack: str) -> Deployment | None:
        """The stack's state straight from a file backend: milliseconds, where the CLI takes a third of a second.

        None where it is not a file backend, or the stack is not there.
        """
        path = self.state_file(project, stack)
        if path is None:
            return None
        content = path.read_bytes()
        checkpoint: dict[str, Any] = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
        return (checkpoint.get("checkpoint") or {}).get("latest") or {}

    def mend(self, project: str, stack: str) -> None:
        """Remove what a killed write of a file backend left half done, without which Pulumi reads the stack again.

        State files are written whole or not at all, but the attributes next to them, which nobody needs, are not: an
        empty file of them makes every command fail with "failed to load checkpoint: EOF".
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
                    Lock(int(content["pid"]), str(content["hostname"]), _moment(str(content["timestamp"])))
                )
            except FileNotFoundError:
                continue  # released while we looked
        return found


def _backend_in(project_file: Path) -> str:
    """The backend that Pulumi.yaml asks for (`backend: { url: … }`)."""
    text = project_file.read_text(encoding="utf-8")
    if not re.search(r"^backend:", text, re.MULTILINE):
        return ""
    import yaml

    backend = (yaml.safe_load(text) or {}).get("backend")
    return str((backend or {}).get("url") or "")


def _moment(text: str) -> datetime:
    """A time as Go writes it, which has up to nine decimals where Python reads six."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
