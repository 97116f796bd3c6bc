"""Opens a stack for a command: prepares the toolchain, the emulation, the configuration and the backend."""

import contextlib
import os
import re
import shutil

from cli.errors import CommandError
from cli.stack import environment, passwords
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.emulation import Emulation, refuse_confusion
from cli.stack.file_lock import in_turn
from cli.stack.project import Project
from cli.stack.stack import LOCAL, LOCAL_STACK, Stack


def open_stack(
    name: str,
    *,
    create: bool = False,
    missing_ok: bool = False,
    works_on_hosts: bool = False,
    emulate: bool = False,
    project: Project | None = None,
) -> Stack:
    """The stack of this name, with its toolchain prepared.

    Args:
        name: the stack's name.
        create: make its configuration (of `local` only), the stack and its passwords where they are missing.
        missing_ok: go on where the backend does not have the stack.
        works_on_hosts: also prepare what hosts on this machine need: Docker Engine and images.
        emulate: open the stack's emulation on this machine in place of the stack itself.
        project: the project; by default the one that this command is part of.

    Raises:
        CommandError: the stack does not exist, and `create` is not set or does not help.

    """
    project = project or Project.here()
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+){0,2}", name):
        raise CommandError(
            f"'{name}' is not a valid stack name",
            "Use letters, digits, hyphens, underscores and periods.",
            status=2,
        )
    if not emulate:
        refuse_confusion(name, os.environ)
    emulation = Emulation(project, name.rpartition("/")[2]) if emulate else None
    # Commands create one after the other: two would make different passwords, and read what the other one is writing.
    turn = in_turn(project.marker(name.rpartition("/")[2]).with_suffix(".creation"))
    with turn if create else contextlib.nullcontext():
        _configuration(project, name, create=create)
        if emulation:
            name = _emulated(emulation, create=create)
        config = StackConfig.read(project.config_file(name.rpartition("/")[2]), project.name)
    hosts_are_here = emulate or config.platform == "local"
    toolchain = environment.prepare_toolchain(local_hosts=works_on_hosts and hosts_are_here)
    backend = emulation.backend if emulation else Backend.of(project, os.environ)
    # Start the emulation before reading the state: if the emulated account is lost, starting deletes the state.
    emulated = emulation.variables(emulation.start()) if emulation else {}
    backend.make()
    backend.mend(project.name, name.rpartition("/")[2])
    added = {**environment.variables(toolchain, project, backend, config), **emulated}
    pulumi = environment.pulumi_command(toolchain, project, added)
    stack = Stack(project, name, backend, pulumi, added, emulation.source if emulation else "")
    if create:
        with in_turn(project.marker(stack.short_name).with_suffix(".creation")):
            if not missing_ok and not stack.exists():
                stack.create()
            passwords.make_missing_passwords(stack, stack.config)
            if emulation:
                passwords.make_missing_secrets(stack)
    elif not missing_ok and not stack.exists():
        raise CommandError(f"the stack '{name}' does not exist yet", f"`./slip up{stack.option}` makes it.")
    return stack


def _emulated(emulation: Emulation, *, create: bool) -> str:
    """The name of an emulated stack; `create` also updates its configuration from the real stack's."""
    if create:
        emulation.write_config()
    elif not emulation.exists:
        raise CommandError(
            f"the emulated stack of '{emulation.source}' does not exist yet",
            f"`./slip up -s {emulation.source} --emulate` makes it.",
        )
    return emulation.stack


def _configuration(project: Project, name: str, *, create: bool) -> None:
    """Make sure that the stack has a configuration."""
    path = project.config_file(name.rpartition("/")[2])
    if path.exists():
        return
    if name == LOCAL and create:
        shutil.copyfile(LOCAL_STACK, path)
        return
    if name != LOCAL:
        here = sorted({LOCAL, *project.stacks})
        raise CommandError(
            f"the stack '{name}' has no configuration: {path.name} is missing",
            f"Stacks here: {', '.join(here)}.",
            status=2,
        )
