"""Opens a stack for a command: prepares the toolchain, the emulation, the configuration and the backend."""

import contextlib
import os
import re
import shutil

from cli.errors import CommandError
from cli.stack import ciphertexts, config_file, environment, passwords
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.emulation import Emulation, refuse_confusion
from cli.stack.file_lock import in_turn
from cli.stack.project import Project
from cli.stack.stack import LOCAL, LOCAL_STACK, Stack
from cli.text import first_line


def open_stack(
    name: str,
    *,
    create: bool = False,
    missing_ok: bool = False,
    works_on_hosts: bool = False,
    emulate: bool = False,
    edits: bool = False,
    create_stack: bool = False,
    project: Project | None = None,
) -> Stack:
    """The stack of this name, with its toolchain prepared.

    Args:
        name: the stack's name.
        create: make its configuration (of `local` only), the stack and its passwords where they are missing.
        missing_ok: go on where the backend does not have the stack, or where the stack `local` has no configuration.
        works_on_hosts: also prepare what hosts on this machine need: Docker Engine and images.
        emulate: open the stack's emulation on this machine in place of the stack itself.
        edits: the command goes by the configuration or changes it, so its mistakes are refused; `create` does, too.
        create_stack: as `create`, but make no passwords.
        project: the project; by default the one that this command is part of.

    Raises:
        CommandError: the stack does not exist, and `create` is not set or does not help; or its configuration has
            mistakes.

    """
    project = project or Project.here()
    if not re.fullmatch(r"[\w.-]{1,100}(/[\w.-]{1,100}){0,2}", name):
        raise CommandError(
            f"'{first_line(name)}' is not a valid stack name",
            "Use letters, digits, hyphens, underscores and periods, 100 of them at most.",
            status=2,
        )
    if not emulate:
        refuse_confusion(name, os.environ)
    creates = create or create_stack
    emulation = Emulation(project, name.rpartition("/")[2]) if emulate else None
    # Commands create one after the other: two would make different passwords, and read what the other one is writing.
    short = name.rpartition("/")[2]
    is_configured = name == LOCAL or project.config_file(short).exists()
    turn = in_turn(project.marker(short).with_suffix(".creation"))
    with turn if creates and is_configured else contextlib.nullcontext():
        _configuration(project, name, create=creates)
        config_file.check(project, short, changes=create or edits)
        if emulation:
            name = _emulated(emulation, create=create)
        config = StackConfig.read(project.config_file(name.rpartition("/")[2]), project.name)
    hosts_are_here = emulate or config.has_hosts_here
    if hosts_are_here:
        environment.refuse_engine_with_certificates()
    toolchain = environment.prepare_toolchain(local_hosts=works_on_hosts and hosts_are_here)
    backend = emulation.backend if emulation else Backend.of(project, os.environ)
    # Start the emulation before reading the state: if the emulated account is lost, starting deletes the state.
    emulated = emulation.variables(emulation.start()) if emulation else {}
    backend.make()
    backend.mend(project.name, name.rpartition("/")[2])
    added = {**environment.variables(toolchain, project, backend, config, name=name), **emulated}
    pulumi = environment.pulumi_command(toolchain, project, added)
    if create or edits:
        ciphertexts.check(project, name.rpartition("/")[2], config, pulumi.variables)
    stack = Stack(project, name, backend, pulumi, added, emulation.source if emulation else "")
    if creates:
        with in_turn(project.marker(stack.short_name).with_suffix(".creation")):
            if not missing_ok and not stack.exists():
                stack.create()
            if create:
                passwords.make_missing_passwords(stack, stack.config)
                passwords.make_missing_backup_passwords(stack, stack.config)
            if create and emulation:
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
    """Make the configuration of `local`, if it is missing and `create` is set; others have to have one."""
    path = project.config_file(name.rpartition("/")[2])
    if name == LOCAL and create and not path.exists():
        shutil.copyfile(LOCAL_STACK, path)
    require_configuration(project, name)


def require_configuration(project: Project, name: str) -> None:
    """Refuse a stack without a configuration; `local` gets one at its first use.

    Raises:
        CommandError: its file is missing.

    """
    path = project.config_file(name.rpartition("/")[2])
    if name != LOCAL and not path.exists():
        here = sorted({LOCAL, *project.stacks})
        raise CommandError(
            f"the stack '{name}' has no configuration: {path.name} is missing",
            f"Stacks here: {', '.join(here)}.",
            status=2,
        )
