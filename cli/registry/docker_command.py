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

PATIENCE = 60
"""Seconds that a command may take. A login waits for the engine and the registry."""

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
