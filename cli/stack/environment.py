"""The environment of this clone's Pulumi commands: toolchain, backend, passphrase."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cli.errors import CommandError
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.project import Project, write_private_once
from cli.stack.pulumi_command import PulumiCommand, search_path


class Toolchain(Protocol):
    """The result of `toolchain.environment.prepare`."""

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of every Pulumi command."""

    @property
    def pulumi(self) -> Path:
        """The CLI."""


def prepare_toolchain(*, local_hosts: bool) -> Toolchain:
    """Install the tools that this machine lacks. It prints nothing and takes little time if none are missing.

    Args:
        local_hosts: whether hosts run on this machine, which needs a Docker Engine and images.

    Raises:
        CommandError: a tool can be neither downloaded nor built on this machine.

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
    """The variables to add to the user's environment for a command on a stack.

    The user's backend and passphrase take precedence over the clone's.
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
    """The file with the clone's passphrase, made on first use; None if the user set a passphrase or none is needed.

    Raises:
        CommandError: the stack's secrets are encrypted with a passphrase, and the file is missing.

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
            f"the secrets of this stack are encrypted with a passphrase, and {path} is missing",
            "Set PULUMI_CONFIG_PASSPHRASE_FILE to a file with the passphrase. If the passphrase is lost, remove "
            "`encryptionsalt` and the secrets from the stack's Pulumi.<stack>.yaml: Slipway makes new ones.",
        )
    import secrets  # needed once for each clone

    write_private_once(path, secrets.token_urlsafe(32))
    return path


def pulumi_command(toolchain: Toolchain, project: Project, added: Mapping[str, str]) -> PulumiCommand:
    """The Pulumi CLI with the user's environment and the added variables."""
    return PulumiCommand(toolchain.pulumi, project.root, {**os.environ, **added})
