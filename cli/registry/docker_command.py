"""Docker's own command on this machine: what it talks to, and where that engine looks for authorities to trust."""

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

PATIENCE = 60
"""Seconds that a command may take; a login waits for the engine and the registry."""

BY_HAND = 'docs/login.md, under "By hand", says what to do by hand.'


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `docker`, whatever comes of it. What is secret goes in by `stdin`.

    Raises:
        CommandError: there is no such command, or it does not end.

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
        raise CommandError("there is no `docker` command on this machine", "Install Docker.") from None
    except subprocess.TimeoutExpired:
        raise CommandError(
            f"docker {arguments[0]} has not ended within {PATIENCE} s", "See whether `docker info` answers."
        ) from None


def certificates_directory() -> Path:
    """Where the engine that `docker` talks to looks for the authorities of registries, a folder for each.

    Raises:
        CommandError: no engine answers, or it is on another machine.

    """
    endpoint = run("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").stdout.strip()
    if not is_here(endpoint):
        raise CommandError(
            f"your Docker works on another machine ({endpoint}), where this command cannot put the registry's CA",
            BY_HAND,
        )
    answer = run("info", "--format", "{{json .}}")
    try:
        info = json.loads(answer.stdout)
    except ValueError:
        info = {}
    # The command's own part is answered without an engine too, and in some versions with status 0.
    if not info.get("ServerVersion"):
        said = " ".join(info.get("ServerErrors") or [answer.stderr.strip()])
        raise CommandError(
            f"Docker does not answer: {said}",
            "Start it, or let DOCKER_HOST or `docker context use` name one that runs.",
        )
    return directory_of(info, sys.platform, os.environ, Path.home())


def directory_of(info: Mapping[str, Any], system: str, variables: Mapping[str, str], home: Path) -> Path:
    """`certs.d` of an engine on this machine.

    Args:
        info: what `docker info` says of it.
        system: this machine's, as in `sys.platform`.
        variables: the user's environment.
        home: the user's home.

    Raises:
        CommandError: it is in a virtual machine whose files are out of reach.

    """
    if info.get("OperatingSystem") == "Docker Desktop":
        # It copies this folder into its own virtual machine when it starts.
        return home / ".docker" / "certs.d"
    if system != "linux":
        raise CommandError(
            "your Docker Engine runs in a virtual machine that is not Docker Desktop's, "
            "where this command cannot put the registry's CA",
            BY_HAND,
        )
    if any(str(option).startswith("name=rootless") for option in info.get("SecurityOptions") or ()):
        return Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "docker" / "certs.d"
    return Path("/etc/docker/certs.d")


def is_here(endpoint: str) -> bool:
    """Whether an engine's address, as in DOCKER_HOST, is of this machine."""
    parts = urlsplit(endpoint)
    if parts.scheme in {"", "unix", "npipe", "fd"}:
        return True
    host = parts.hostname or ""
    try:
        return parts.scheme != "ssh" and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False
