"""The `docker` command on this machine: which engine it uses, and where that engine reads registries' CAs."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import child_environment
from cli.errors import CommandError
from toolchain import docker_config

PATIENCE = 60
"""Seconds that a command may take. A login waits for the engine and the registry."""

SNAP = Path("/var/snap/docker")
"""The folder of an engine that was installed as a snap."""

BY_HAND = 'docs/login.md, under "By hand", says what to do by hand.'


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `docker`, and return its result whatever its exit status. Secrets go in by `stdin`.

    Raises:
        CommandError: the command is not installed, or does not end.

    """
    try:
        return subprocess.run(
            ["docker", *arguments],
            env=child_environment.of("docker"),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    except FileNotFoundError:
        raise CommandError(
            "the `docker` command is not installed on this machine", "Install Docker."
        ) from None
    except subprocess.TimeoutExpired:
        raise CommandError(
            f"docker {arguments[0]} did not end within {PATIENCE} s", "Check whether `docker info` answers."
        ) from None


def certificates_directory() -> Path:
    """Where the engine that `docker` uses reads registries' CAs: a folder for each registry.

    Raises:
        CommandError: the engine does not answer, or is on another machine.

    """
    endpoint = run("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").stdout.strip()
    if not is_here(endpoint):
        raise CommandError(
            f"your Docker Engine is on another machine ({endpoint}), where this command cannot install the CA",
            BY_HAND,
        )
    answer = run("info", "--format", "{{json .}}")
    try:
        info = json.loads(answer.stdout)
    except ValueError:
        info = {}
    # Without an engine, `docker info` prints the client's part, in some versions with status 0.
    if not info.get("ServerVersion"):
        said = " ".join(info.get("ServerErrors") or [answer.stderr.strip()])
        raise CommandError(
            f"Docker does not answer: {said}",
            "Start it, or select another engine with DOCKER_HOST or `docker context use`.",
        )
    return directory_of(info, sys.platform, os.environ, Path.home())


def refuse_unusable_config(address: str) -> None:
    """Refuse a login or logout that fails by Docker's own configuration, or that would overwrite it.

    Args:
        address: `host:port` of the registry.

    Raises:
        CommandError: it cannot be read or written, or names a credential store that is not installed.

    """
    path = docker_config.directory() / "config.json"
    try:
        config = docker_config.read(path)
    except docker_config.Unusable as error:
        raise CommandError(
            f"Docker's own configuration, {path}, cannot be used: {error}",
            "Repair the file, or move it away: Docker would overwrite it.",
        ) from error
    helpers = config.get("credHelpers")
    own = helpers.get(address) if isinstance(helpers, dict) else None
    store = own or config.get("credsStore") or ""
    if not docker_config.has_helper(store):
        where = f"credHelpers of {address}" if own else "credsStore"
        raise CommandError(
            f"{path} names the credential store '{store}' ({where}), and docker-credential-{store} is not on PATH",
            f"Install docker-credential-{store}, or remove {where} from that file: Docker then keeps passwords in it.",
        )
    # Docker replaces the file, and what a link leads to; so it writes to the folder.
    folder = path.resolve().parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CommandError(
            f"Docker keeps logins in {path}, and you may not write to {folder}",
            "Set DOCKER_CONFIG to a folder of your own, or correct the owner of that one.",
        )


def directory_of(info: Mapping[str, Any], system: str, variables: Mapping[str, str], home: Path) -> Path:
    """`certs.d` of an engine on this machine.

    Args:
        info: the engine's part of `docker info`.
        system: this machine's system, as in `sys.platform`.
        variables: the user's environment.
        home: the user's home.

    Raises:
        CommandError: it is in a virtual machine, whose files this command cannot reach.

    """
    if info.get("OperatingSystem") == "Docker Desktop":
        # Docker Desktop copies this folder into its virtual machine when it starts.
        return home / ".docker" / "certs.d"
    if system != "linux":
        raise CommandError(
            "your Docker Engine runs in a virtual machine other than Docker Desktop's, "
            "where this command cannot install the registry's CA",
            BY_HAND,
        )
    if any(str(option).startswith("name=rootless") for option in info.get("SecurityOptions") or ()):
        return Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "docker" / "certs.d"
    if str(info.get("DockerRootDir")).startswith(f"{SNAP}/"):
        # A confined engine sees its own /etc/docker.
        return SNAP / "current" / "etc" / "docker" / "certs.d"
    return Path("/etc/docker/certs.d")


def is_here(endpoint: str) -> bool:
    """Whether an engine's address, as in DOCKER_HOST, is on this machine."""
    parts = urlsplit(endpoint)
    if parts.scheme in {"", "unix", "npipe", "fd"}:
        return True
    host = parts.hostname or ""
    try:
        return parts.scheme != "ssh" and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False
