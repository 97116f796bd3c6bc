"""A stack: its configuration, whether the backend has it, and its state."""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.errors import CommandError
from cli.stack import environment
from cli.stack.backend import Backend, Lock
from cli.stack.config import StackConfig
from cli.stack.deployment import Deployment
from cli.stack.emulation import Emulation, refuse_confusion
from cli.stack.project import Project, write_private
from cli.stack.pulumi_command import PulumiCommand

LOCAL = "local"
"""The stack that everybody starts with. Its file is made on first use, from `LOCAL_STACK`."""

LOCAL_STACK = Path(__file__).with_name("local-stack.yaml")
"""What `local` is configured with at first."""


@dataclass(frozen=True)
class Stack:
    """One stack of the project, and the CLI to work on it."""

    project: Project
    name: str
    backend: Backend
    pulumi: PulumiCommand
    added_variables: dict[str, str] = field(default_factory=dict)
    """What its commands set on top of the user's environment."""
    emulates: str = ""
    """The name of the real stack, if this one is its emulation (`--emulate`)."""

    @property
    def short_name(self) -> str:
        """The name without an organization."""
        return self.name.rpartition("/")[2]

    @property
    def option(self) -> str:
        """How to name this stack on the command line: empty for the default one."""
        if self.emulates:
            return f" -s {self.emulates} --emulate"
        return "" if self.name == LOCAL else f" -s {self.name}"

    @property
    def config_file(self) -> Path:
        """Its `Pulumi.<stack>.yaml`."""
        return self.project.config_file(self.short_name)

    @property
    def edited_file(self) -> Path:
        """The configuration that people edit: an emulated stack's follows the real one's."""
        return self.project.config_file(self.emulates) if self.emulates else self.config_file

    @property
    def config(self) -> StackConfig:
        """Its configuration, as the file is now."""
        return StackConfig.read(self.config_file, self.project.name)

    def locks(self) -> list[Lock]:
        """Who holds it, or was killed while holding it; nobody in a backend without lock files."""
        return self.backend.locks(self.project.name, self.short_name)

    def exists(self) -> bool:
        """Whether the backend has it."""
        if self.backend.directory is not None:
            return self.backend.state_file(self.project.name, self.short_name) is not None
        if self._known.exists():
            return True
        # Not `stack ls`: that lists, page by page, all that the user may see.
        found = self.pulumi.attempt("stack", "export", "--stack", self.name).returncode == 0
        if found:
            self._remember()
        return found

    def create(self) -> None:
        """Make it in the backend, without a question; nothing happens if it is there."""
        arguments = ["stack", "init", "--stack", self.name, "--no-select"]
        if self.config.has_secrets_provider:
            arguments += ["--secrets-provider", str(self.config.content["secretsprovider"])]
        result = self.pulumi.attempt(*arguments)
        if result.returncode and "already exists" not in result.stderr:
            raise CommandError(f"could not create the stack '{self.name}': {result.stderr.strip()}")
        self._remember()

    def remove(self) -> None:
        """Remove it, without resources, from the backend. Its configuration stays."""
        self.pulumi.read("stack", "rm", "--stack", self.name, "--yes", "--preserve-config")
        self._known.unlink(missing_ok=True)

    def deployment(self) -> Deployment:
        """Its state, with secrets encrypted: from the file where there is one, else from the CLI. Empty without any."""
        found = self.backend.deployment(self.project.name, self.short_name)
        if found is None and self.backend.directory is None:
            found = self.export()["deployment"]
        return found or {}

    def export(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """Its state as `pulumi stack export` gives it. With `show_secrets` it must not leave this process."""
        options = ["--show-secrets"] if show_secrets else []
        exported: dict[str, Any] = json.loads(
            self.pulumi.read("stack", "export", "--stack", self.name, *options)
        )
        exported["deployment"] = exported.get("deployment") or {}
        return exported

    def import_state(self, exported: dict[str, Any]) -> None:
        """Replace its state. Pulumi checks that it is consistent, and drops operations that were pending."""
        self.pulumi.read("stack", "import", "--stack", self.name, stdin=json.dumps(exported))

    def outputs(self) -> dict[str, Any]:
        """Its outputs, with the secret ones in clear text: they must not leave this process."""
        shown = self.pulumi.read("stack", "output", "--stack", self.name, "--json", "--show-secrets")
        outputs: dict[str, Any] = json.loads(shown)
        return outputs

    @property
    def key(self) -> str:
        """What tells it from other stacks of the clone, and of other backends: a file name for what is noted of it.

        The clone's own backend is in the clone, so its address changes when the clone moves.
        """
        url = "own" if self.backend.is_own else self.backend.url
        return hashlib.sha256(f"{url}\0{self.name}".encode()).hexdigest()[:16]

    @property
    def _known(self) -> Path:
        """A file that says that a backend other than a directory has this stack, so that nobody asks it each time."""
        return self.project.private / "stacks" / self.key

    def _remember(self) -> None:
        if self.backend.directory is None:
            write_private(self._known, f"{self.name}\n")


def open_stack(
    name: str,
    *,
    create: bool = False,
    missing_ok: bool = False,
    works_on_hosts: bool = False,
    emulate: bool = False,
    project: Project | None = None,
) -> Stack:
    """The stack of this name, after the toolchain was prepared.

    Args:
        name: the stack's name.
        create: make its configuration (of `local` only), the stack and its passwords where they are missing.
        missing_ok: go on where the backend does not have the stack.
        works_on_hosts: see to what the hosts need too: on the platform `local`, Docker Engine and images.
        emulate: work on the stack's emulation on this machine in place of the stack itself.
        project: the project; by default the one that this command is part of.

    Raises:
        CommandError: there is no such stack, and `create` is not set or cannot help.

    """
    project = project or Project.here()
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+){0,2}", name):
        raise CommandError(
            f"'{name}' is no name of a stack",
            "Use letters, digits, hyphens, underscores and periods.",
            status=2,
        )
    if not emulate:
        refuse_confusion(name, os.environ)
    _configuration(project, name, create=create)
    emulation = Emulation(project, name.rpartition("/")[2]) if emulate else None
    if emulation:
        name = _emulated(emulation, create=create)
    config = StackConfig.read(project.config_file(name.rpartition("/")[2]), project.name)
    hosts_are_here = emulate or config.platform == "local"
    toolchain = environment.prepare_toolchain(local_hosts=works_on_hosts and hosts_are_here)
    backend = emulation.backend if emulation else Backend.of(project, os.environ)
    # An account that was lost takes the state along, so it comes before anything looks at that.
    emulated = emulation.variables(emulation.start()) if emulation else {}
    backend.make()
    backend.mend(project.name, name.rpartition("/")[2])
    added = {**environment.variables(toolchain, project, backend, config), **emulated}
    pulumi = environment.pulumi_command(toolchain, project, added)
    stack = Stack(project, name, backend, pulumi, added, emulation.source if emulation else "")
    if not missing_ok and not stack.exists():
        if not create:
            raise CommandError(f"there is no stack '{name}' yet", f"`./slip up{stack.option}` makes it.")
        stack.create()
    if create:
        from cli.registry import accounts

        accounts.make_missing_passwords(stack, config)
        if emulation:
            accounts.make_up_secrets(stack)
    return stack


def _emulated(emulation: Emulation, *, create: bool) -> str:
    """The name of an emulated stack, whose configuration follows the real one's at each update."""
    if create:
        emulation.write_config()
    elif not emulation.exists:
        raise CommandError(
            f"there is no emulated stack '{emulation.source}' yet",
            f"`./slip up -s {emulation.source} --emulate` makes it.",
        )
    return emulation.stack


def _configuration(project: Project, name: str, *, create: bool) -> None:
    """See to it that the stack has a configuration."""
    path = project.config_file(name.rpartition("/")[2])
    if path.exists():
        return
    if name == LOCAL and create:
        shutil.copyfile(LOCAL_STACK, path)
        return
    if name != LOCAL:
        here = sorted({LOCAL, *project.stacks})
        raise CommandError(
            f"no stack '{name}': there is no {path.name}", f"Stacks here: {', '.join(here)}.", status=2
        )
