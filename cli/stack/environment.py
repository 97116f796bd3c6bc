"""The environment of this clone's Pulumi commands: toolchain, backend, passphrase."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import child_environment
from cli.errors import CommandError
from cli.stack import passphrase, virtual_environment
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


def refuse_engine_with_certificates() -> None:
    """Refuse an engine of the operator that wants client certificates, for hosts on this machine.

    The docker plugin would show the operator's certificate to the hosts' engines, too.

    Raises:
        CommandError: the engine in use is such a one.

    """
    from toolchain import docker_socket

    if docker_socket.wants_certificate():
        raise CommandError(
            f"the Docker Engine in use is {docker_socket.endpoint()}, with client certificates (DOCKER_CERT_PATH, "
            "DOCKER_TLS_VERIFY, or a docker context): hosts cannot run on such an engine",
            "Use the engine's socket on the machine itself: unset DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, "
            "or set DOCKER_HOST=unix:///var/run/docker.sock.",
        )


def variables(
    toolchain: Toolchain,
    project: Project,
    backend: Backend,
    config: StackConfig,
    user: Mapping[str, str] | None = None,
    *,
    name: str = "",
) -> dict[str, str]:
    """The variables to add to the user's environment for a command on a stack.

    The user's backend and passphrase take precedence over the clone's.
    """
    user = os.environ if user is None else user
    added = dict(toolchain.variables)
    added["PATH"] = search_path(added.get("PATH", ""), user.get("PATH", ""))
    if backend.is_own:
        added["PULUMI_BACKEND_URL"] = backend.url
    if path := passphrase_file(project, backend, config, user, name=name):
        added["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(path)
    return added


def passphrase_file(
    project: Project, backend: Backend, config: StackConfig, user: Mapping[str, str], *, name: str = ""
) -> Path | None:
    """The file with the clone's passphrase, made on first use; None if the user set a passphrase or none is needed.

    Args:
        project: the clone.
        backend: where the stack's state is.
        config: the stack's configuration.
        user: the user's environment.
        name: the stack's name.

    Raises:
        CommandError: the stack's secrets are encrypted with a passphrase, and the file is missing or empty.

    """
    if {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & user.keys():
        return None
    if config.has_secrets_provider or (backend.keeps_secrets and not config.has_passphrase):
        return None
    path = project.passphrase_file
    is_there = path.is_file()
    if is_there and path.stat().st_size:
        return path
    state = backend.deployment(project.name, name.rpartition("/")[2]) or {}
    if passphrase.salts(config, state):
        raise CommandError(
            f"the secrets of this stack are encrypted with a passphrase, and {path} is "
            f"{'empty' if is_there else 'missing'}",
            passphrase.way_out(
                local=config.platform == "local", option="" if name in {"", "local"} else f" -s {name}"
            ),
        )
    import secrets  # needed once for each clone

    write_private_once(path, secrets.token_urlsafe(32))
    return path


def pulumi_command(toolchain: Toolchain, project: Project, added: Mapping[str, str]) -> PulumiCommand:
    """The Pulumi CLI with what it gets of the user's environment, and the added variables.

    Raises:
        CommandError: the program's virtual environment is not as requirements.txt wants it.

    """
    virtual_environment.provide(project.root)
    return PulumiCommand(toolchain.pulumi, project.root, {**child_environment.of("stack"), **added})
