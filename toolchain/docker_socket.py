"""Asking the operator's Docker Engine, without its SDK: importing that takes longer than the whole answer."""

import hashlib
import json
import os
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import child_environment

DEFAULT = "unix:///var/run/docker.sock"


class EngineUnreachable(Exception):
    """No Docker Engine answers; the text says why."""


def endpoint() -> str:
    """Where the engine is, as the docker CLI decides it: DOCKER_HOST, else the context in use, else the default."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    directory = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name = os.environ.get("DOCKER_CONTEXT")
    try:
        name = name or json.loads((directory / "config.json").read_text()).get("currentContext")
        if not name or name == "default":
            return DEFAULT
        # The CLI keeps a context under the digest of its name.
        context = directory / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        return str(json.loads(context.read_text())["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError):
        return DEFAULT


def tags(wanted: list[str], timeout: float = 10.0) -> set[str]:
    """Those of the wanted image names that the engine has.

    Raises:
        EngineUnreachable: nothing answers there, within `timeout` seconds.
    """
    filters = json.dumps({"reference": wanted})
    images = json.loads(_get(f"/images/json?filters={quote(filters)}", timeout))
    return {tag for image in images for tag in image.get("RepoTags") or []} & set(wanted)


def ping(timeout: float = 5.0) -> None:
    """Return if the engine answers.

    Raises:
        EngineUnreachable: it does not, within `timeout` seconds.
    """
    _get("/_ping", timeout)


def _get(path: str, timeout: float) -> bytes:
    where = endpoint()
    if not where.startswith("unix://"):
        return _get_with_cli(path, where, timeout)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(where.removeprefix("unix://"))
            # HTTP/1.0: the answer comes in one piece and ends with the connection.
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError as error:
        raise EngineUnreachable(error.strerror or str(error)) from error
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].decode(errors="replace")
    if " 200 " not in f"{status} ":
        raise EngineUnreachable(f"it answered {status or 'nothing'}")
    return body


def _get_with_cli(path: str, where: str, timeout: float) -> bytes:
    """The same by the docker CLI, which knows TLS and SSH."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    if path.startswith("/images/json"):
        command = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
    try:
        result = subprocess.run(
            command,
            env=child_environment.of("docker"),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnreachable(f"{where}: {error}") from error
    if result.returncode != 0:
        raise EngineUnreachable(result.stderr.strip().splitlines()[-1] if result.stderr.strip() else where)
    return json.dumps([{"RepoTags": result.stdout.split()}]).encode()
