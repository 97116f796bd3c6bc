"""The clone that the command works in, and the files that it keeps there outside git."""

import contextlib
import os
import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cli.errors import CommandError
from stackfile.document import Document, UnreadableFile
from well_known import EMULATED, STAGED_CONTEXTS_PATH


@dataclass(frozen=True)
class Project:
    """A Pulumi project in a directory."""

    root: Path
    """The directory of `Pulumi.yaml`."""

    @classmethod
    def here(cls) -> "Project":
        """The clone that this command belongs to, whatever the working directory."""
        return cls(Path(__file__).resolve().parents[2])

    @cached_property
    def name(self) -> str:
        """The project's name: the first part of every configuration key, and a directory in a file backend."""
        text = (self.root / "Pulumi.yaml").read_text(encoding="utf-8")
        found = re.search(r"^name:\s*['\"]?([\w.-]+)", text, re.MULTILINE)
        if not found:
            raise CommandError(f"{self.root / 'Pulumi.yaml'} has no 'name'", "Restore the file from git.")
        return found[1]

    @property
    def file(self) -> Document:
        """The parsed `Pulumi.yaml`; empty if Pulumi cannot read it either."""
        try:
            return Document.read(self.root / "Pulumi.yaml")
        except UnreadableFile:
            return Document()

    @property
    def private(self) -> Path:
        """`.slipway`, readable by its owner only: state, passphrase, markers and backups."""
        path = self.root / ".slipway"
        if not path.is_dir():
            path.mkdir(mode=0o700, exist_ok=True)
        status = path.stat()
        # Who owns the clone owns the code that runs here: root may work in a clone of the user who ran sudo.
        if status.st_uid not in {os.geteuid(), self.root.stat().st_uid} or status.st_mode & 0o002:
            raise CommandError(
                f"others may have written to {path}, which has this stack's state and passphrase",
                "Look at what is in it. Then make it yours alone: "
                f"`chown -R $(id -u) {shlex.quote(str(path))} && chmod 700 {shlex.quote(str(path))}`.",
            )
        if status.st_mode & 0o077:
            path.chmod(0o700)
        return path

    @property
    def passphrase_file(self) -> Path:
        """The generated passphrase that encrypts this clone's secrets."""
        return self.private / "passphrase"

    @property
    def stacks(self) -> list[str]:
        """The names of the stacks with a configuration in the clone, without the emulated ones."""
        files = self.root.glob("Pulumi.*.yaml")
        names = (file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files)
        return sorted(name for name in names if not name.endswith(EMULATED))

    def config_file(self, stack: str) -> Path:
        """The stack's configuration."""
        return self.root / f"Pulumi.{stack}.yaml"

    def remove_contexts(self, stack: str) -> None:
        """Remove the copies of build contexts that the program made for a stack."""
        import shutil  # needed at the end of a stack only

        shutil.rmtree(self.root / STAGED_CONTEXTS_PATH / stack.rpartition("/")[2], ignore_errors=True)

    def marker(self, stack: str) -> Path:
        """The file that exists while an update of the stack runs."""
        return self.private / "running" / f"{stack}.json"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read. The file is replaced atomically."""
    _written(path, text).replace(path)


def write_private_once(path: Path, text: str) -> None:
    """Write such a file, unless it exists: of several processes, the first one writes it."""
    temporary = _written(path, text)
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(text, encoding="utf-8")
    return temporary
