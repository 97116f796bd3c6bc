"""Questions to the operator's Docker Engine. Without the Docker SDK: importing it takes longer than the answer."""

import hashlib
import json
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import child_environment
import engine_socket
from engine_socket import EngineUnreachable
from toolchain import docker_config

DEFAULT = "unix:///var/run/docker.sock"


def endpoint() -> str:
    """The engine's address, chosen as the docker CLI does: DOCKER_HOST, else the context in use, else the default."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    try:
        if not (identifier := _context()):
            return DEFAULT
        context = _directory() / "contexts" / "meta" / identifier / "meta.json"
        return str(json.loads(context.read_text())["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return DEFAULT


def wants_certificate() -> bool:
    """Whether the docker CLI would show the engine at `endpoint` a client certificate."""
    if not endpoint().startswith("tcp://"):
        return False
    if os.environ.get("DOCKER_HOST"):
        return any(os.environ.get(name) for name in ("DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH"))
    return any((_directory() / "contexts" / "tls" / _context() / "docker").glob("*.pem"))


def _directory() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _context() -> str:
    """The docker CLI's context in use, as the digest of its name, under which it is kept; empty for the default."""
    name = os.environ.get("DOCKER_CONTEXT")
    name = name or json.loads((_directory() / "config.json").read_text()).get("currentContext")
    return hashlib.sha256(name.encode()).hexdigest() if name and name != "default" else ""


def command_environment() -> dict[str, str]:
    """The environment of a docker command that works for Slipway, whatever this user's docker command is set to.

    An engine that is not on a local socket is reached with all of the user's settings.
    """
    where = endpoint()
    variables = child_environment.of("docker")
    if where.startswith("unix://"):
        variables = {**child_environment.of("docker-images"), "DOCKER_HOST": where}
    if folder := docker_config.replacement():
        variables["DOCKER_CONFIG"] = str(folder)
    return variables


def tags(names: list[str], timeout: float = 10.0) -> set[str]:
    """Those of the image names that the engine has.

    Raises:
        EngineUnreachable: no answer came within `timeout` seconds.
    """
    filters = json.dumps({"reference": names})
    images = json.loads(_get(f"/images/json?filters={quote(filters)}", timeout))
    return {tag for image in images for tag in image.get("RepoTags") or []} & set(names)


def identifiers(timeout: float = 5.0) -> set[str]:
    """The ids of all containers and networks of the engine.

    Raises:
        EngineUnreachable: no answer came within `timeout` seconds.
    """
    if endpoint().startswith("unix://"):
        answers = (_get(address, timeout) for address in ("/containers/json?all=1", "/networks"))
        return {item["Id"] for answer in answers for item in json.loads(answer)}
    commands = (["docker", "ps", "--all"], ["docker", "network", "ls"])
    return {
        word
        for command in commands
        for word in _from_cli([*command, "--quiet", "--no-trunc"], endpoint(), timeout).split()
    }


def ping(timeout: float = 5.0) -> None:
    """Return if the engine answers.

    Raises:
        EngineUnreachable: no answer came within `timeout` seconds.
    """
    _get("/_ping", timeout)


def clock(timeout: float = 5.0) -> datetime | None:
    """The time of the engine, in seconds (RFC 9110, section 6.6.1); None for one that is not on a local socket."""
    where = endpoint()
    if not where.startswith("unix://"):
        return None
    try:
        head, _ = engine_socket.ask(where.removeprefix("unix://"), "/_ping", timeout)
        (date,) = re.findall(r"^date:\s*(.+?)\s*$", head, re.IGNORECASE | re.MULTILINE)
        return datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except (EngineUnreachable, ValueError):
        return None


def _get(address: str, timeout: float) -> bytes:
    where = endpoint()
    if not where.startswith("unix://"):
        return _get_with_cli(address, where, timeout)
    return engine_socket.get(where.removeprefix("unix://"), address, timeout)


def _get_with_cli(address: str, where: str, timeout: float) -> bytes:
    """The same answer from the docker CLI, which speaks TLS and SSH."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    if address.startswith("/images/json"):
        command = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
    return json.dumps([{"RepoTags": _from_cli(command, where, timeout).split()}]).encode()


def _from_cli(command: list[str], where: str, timeout: float) -> str:
    try:
        result = subprocess.run(
            command,
            env=command_environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnreachable(f"{where}: {error}") from error
    if result.returncode != 0:
        raise EngineUnreachable(result.stderr.strip().splitlines()[-1] if result.stderr.strip() else where)
    return result.stdout
