"""The record of a login on this machine, by which `slip logout` undoes exactly that, even without the stack."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.stack.project import Project, write_private


@dataclass(frozen=True)
class LoginRecord:
    """A login's changes on this machine. The record is written before they are made."""

    address: str
    """`host:port` of the registry."""
    files: dict[str, str]
    """Docker's files for it, each with the SHA-256 of what the login wrote; empty for a file that existed before."""
    folders: tuple[str, ...]
    """The folders that the login made, outer ones first."""

    @staticmethod
    def path(project: Project, stack: str) -> Path:
        """The file of a stack's record."""
        return project.private / "logins" / f"{stack}.json"

    @classmethod
    def read(cls, path: Path) -> "LoginRecord | None":
        """The record in a file; None if the file is missing or invalid."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if "ca_file" in content:
                # The format of versions without client certificates.
                file, sha256 = content.pop("ca_file"), content.pop("ca_sha256")
                content["files"] = {file: sha256} if file else {}
            return cls(**{**content, "folders": tuple(content["folders"])})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the record to a file that only its owner can read."""
        write_private(path, json.dumps(asdict(self)))

    @property
    def folder(self) -> Path | None:
        """The registry's folder; None for a login without files."""
        return next((Path(file).parent for file in self.files), None)
