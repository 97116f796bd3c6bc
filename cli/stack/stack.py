"""A stack: its configuration, its existence in the backend, and its state."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.errors import CommandError
from cli.stack import decryption, passphrase
from cli.stack.backend import Backend, Lock
from cli.stack.config import StackConfig
from cli.stack.deployment import Deployment, outputs_with_secrets
from cli.stack.project import Project, write_private
from cli.stack.pulumi_command import PulumiCommand
from well_known import DEFAULT_STACK

LOCAL = DEFAULT_STACK
"""The default stack. Its configuration is made on first use, from `LOCAL_STACK`."""

LOCAL_STACK = Path(__file__).with_name("local-stack.yaml")
"""The first configuration of the stack `local`."""


@dataclass(frozen=True)
class Stack:
    """One stack of the project, and the Pulumi CLI for it."""

    project: Project
    name: str
    backend: Backend
    pulumi: PulumiCommand
    added_variables: dict[str, str] = field(default_factory=dict)
    """The variables that its commands add to the user's environment."""
    emulates: str = ""
    """The real stack's name, if this stack is its emulation (`--emulate`)."""
    draft: Path | None = None
    """The configuration that a preview uses in place of the stack's own (`cli/stack/draft.py`)."""

    @property
    def short_name(self) -> str:
        """The name without an organization."""
        return self.name.rpartition("/")[2]

    @property
    def option(self) -> str:
        """The option that names this stack on the command line: empty for the default stack."""
        if self.emulates:
            return f" -s {self.emulates} --emulate"
        return "" if self.name == LOCAL else f" -s {self.name}"

    @property
    def config_file(self) -> Path:
        """The stack's `Pulumi.<stack>.yaml`."""
        return self.draft or self.project.config_file(self.short_name)

    @property
    def edited_file(self) -> Path:
        """The configuration that people edit: for an emulated stack, the real stack's."""
        return self.project.config_file(self.emulates) if self.emulates else self.config_file

    @property
    def config(self) -> StackConfig:
        """The stack's configuration, read from the file."""
        return StackConfig.read(self.config_file, self.project.name)

    @property
    def config_option(self) -> tuple[str, ...]:
        """The option of Pulumi's commands that names the configuration, if it is not the stack's own."""
        return ("--config-file", str(self.draft)) if self.draft else ()

    def locks(self) -> list[Lock]:
        """The stack's locks; none in a backend without lock files."""
        return self.backend.locks(self.project.name, self.short_name)

    def exists(self) -> bool:
        """Whether the backend has the stack."""
        if self.backend.directory is not None:
            return self.backend.state_file(self.project.name, self.short_name) is not None
        if self._known.exists():
            return True
        # Not `stack ls`, which lists page by page every stack that the user may see.
        found = self.pulumi.attempt("stack", "export", "--stack", self.name).returncode == 0
        if found:
            self._remember()
        return found

    def create(self) -> None:
        """Make the stack in the backend, if it does not exist yet."""
        arguments = ["stack", "init", "--stack", self.name, "--no-select"]
        if self.config.has_secrets_provider:
            arguments += ["--secrets-provider", str(self.config.content["secretsprovider"])]
        result = self.pulumi.attempt(*arguments)
        if result.returncode and "already exists" not in result.stderr:
            raise CommandError(f"could not create the stack '{self.name}': {result.stderr.strip()}")
        self._remember()

    def remove(self, *, force: bool = False) -> None:
        """Remove the stack from the backend. Its configuration stays.

        Without --remove-backups, a file backend keeps a copy of the state for each update, of half a megabyte.

        Args:
            force: remove it although its state has resources, which are gone.

        """
        options = ["--yes", "--preserve-config", "--remove-backups", *(["--force"] if force else [])]
        self.pulumi.read("stack", "rm", "--stack", self.name, *options)
        self._known.unlink(missing_ok=True)
        if self._remembered_key is not None:
            self._remembered_key.unlink(missing_ok=True)

    def deployment(self) -> Deployment:
        """The state with encrypted secrets, from a file backend's file or from the CLI. Empty for a missing stack."""
        found = self.backend.deployment(self.project.name, self.short_name)
        if found is None and self.backend.directory is None:
            found = self.export()["deployment"]
        return found or {}

    def export(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """The state as `pulumi stack export` prints it. With `show_secrets` it must not leave this process."""
        options = ["--show-secrets"] if show_secrets else []
        exported: dict[str, Any] = json.loads(
            self.pulumi.read("stack", "export", "--stack", self.name, *options)
        )
        exported["deployment"] = exported.get("deployment") or {}
        return exported

    def deployment_with_secrets(self) -> Deployment:
        """The state with secrets in plain text: it must not leave this process.

        From a file backend's file if a passphrase encrypts it, else from the CLI.
        """
        if self.backend.directory is not None:
            state = self.backend.deployment(self.project.name, self.short_name)
            phrase = passphrase.current(self.project, self.pulumi.variables)
            if state and (found := decryption.decrypted(state, phrase, self._remembered_key)):
                return found
        exported: Deployment = self.export(show_secrets=True)["deployment"]
        return exported

    def import_state(self, exported: dict[str, Any]) -> None:
        """Replace the state. Pulumi checks that it is consistent, and drops pending operations."""
        self.pulumi.read("stack", "import", "--stack", self.name, stdin=json.dumps(exported))

    def outputs(self) -> dict[str, Any]:
        """The outputs, with secrets in plain text: they must not leave this process."""
        return outputs_with_secrets(self.deployment_with_secrets())

    @property
    def _remembered_key(self) -> Path | None:
        """The file with the key that the clone's own passphrase gave; None with a passphrase of the user's."""
        own = str(self.project.passphrase_file)
        is_own = self.pulumi.variables.get("PULUMI_CONFIG_PASSPHRASE_FILE") == own
        return self.project.private / "keys" / self.key if is_own else None

    @property
    def key(self) -> str:
        """A file name for records of the stack, unique among the clone's stacks and backends.

        The clone's own backend has the same key wherever the clone is moved.
        """
        url = "own" if self.backend.is_own else self.backend.url
        return hashlib.sha256(f"{url}\0{self.name}".encode()).hexdigest()[:16]

    @property
    def _known(self) -> Path:
        """A file that records that a remote backend has this stack, which saves asking the backend each time."""
        return self.project.private / "stacks" / self.key

    def _remember(self) -> None:
        if self.backend.directory is None:
            write_private(self._known, f"{self.name}\n")
