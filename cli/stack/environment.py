"""What any Pulumi command of this clone runs with: the toolchain, the backend and the passphrase."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cli.errors import CommandError
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.project import Project, write_private
from cli.stack.pulumi_command import PulumiCommand, search_path


class Toolchain(Protocol):
    """What `toolchain.environment.prepare` returns."""

    @property
    def variables(self) -> Mapping[str, str]:
        """What must be set for any Pulumi command."""

    @property
    def pulumi(self) -> Path:
        """The CLI."""


def prepare_toolchain(*, local_hosts: bool) -> Toolchain:
    """Install what this machine lacks; nothing is printed, and little time goes by, if it lacks nothing.

    Args:
        local_hosts: whether hosts are to run here, which takes a Docker Engine and images.

    Raises:
        CommandError: something can be neither had nor made on this machine.

    """
    from toolchain.environment import Need, prepare
    from toolchain.errors import ToolError
    from toolchain.report import Report

    needs: tuple[Need, ...] = ("pulumi", "engine", "images") if local_hosts else ("pulumi",)
    try:
        return prepare(Report(), needs)
    except ToolError as error:
        raise CommandError(str(error)) from error


def variables(
    toolchain: Toolchain,
    project: Project,
    backend: Backend,
    config: StackConfig,
    user: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Everything to set on top of the user's own environment for a command on a stack.

    The user's own backend and passphrase win over the clone's.
    """
    user = os.environ if user is None else user
    added = dict(toolchain.variables)
    added["PATH"] = search_path(added.get("PATH", ""), user.get("PATH", ""))
    if backend.is_own:
        added["PULUMI_BACKEND_URL"] = backend.url
    if path := passphrase_file(project, backend, config, user):
        added["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(path)
    return added


def passphrase_file(
    project: Project, backend: Backend, config: StackConfig, user: Mapping[str, str]
) -> Path | None:
    """The clone's passphrase, made on first use; None where the user set one or secrets need none.

    Raises:
        CommandError: the stack's secrets are encrypted with a passphrase that is not here, and nobody can be asked.

    """
    if {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & user.keys():
        return None
    if config.has_secrets_provider or (backend.keeps_secrets and not config.has_passphrase):
        return None
    path = project.passphrase_file
    if path.is_file():
        return path
    if config.has_passphrase:
        raise CommandError(
            f"the secrets of this stack are encrypted with a passphrase, and {path} is not there",
            "Set PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds the passphrase. If it is lost, remove the stack's "
            "`encryptionsalt` and secrets from its Pulumi.<stack>.yaml: new ones are made.",
        )
    import secrets  # once for each clone

    write_private(path, secrets.token_urlsafe(32))
    return path


def pulumi_command(toolchain: Toolchain, project: Project, added: Mapping[str, str]) -> PulumiCommand:
    """The CLI with the user's environment and what was added to it."""
    return PulumiCommand(toolchain.pulumi, project.root, {**os.environ, **added})
