"""Whether another program holds a port that a local stack publishes on 127.0.0.1.

Only the standard library: importing the Docker SDK would take longer than this check.
"""

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import engine_socket
from configuration.problems import Location, Problem, path_of
from configuration.settings import StackSettings
from engine_socket import EngineUnreachable
from well_known import HOST_LABEL, PROJECT_LABEL, STACK_LABEL

ADDRESS = "127.0.0.1"
LISTENING = "0A"
"""State of a socket in /proc/net/tcp."""
TIMEOUT = 2.0
"""Seconds for the Docker Engine's answer. A healthy engine lists its containers within milliseconds."""


def occupied(settings: StackSettings, project: str, stack: str) -> list[Problem]:
    """One problem for each port of the stack that another program or container on this machine holds.

    Args:
        settings: the stack's.
        project: the Pulumi project's name.
        stack: the stack's name, without an organization.
    """
    endpoint = os.environ.get("DOCKER_HOST", "")
    if endpoint and not endpoint.startswith("unix://"):
        return []  # the engine publishes its ports on another machine
    held = [wanted for wanted in _wanted(settings) if is_held(wanted.port)]
    if not held:
        return []
    containers = _containers(endpoint.removeprefix("unix://"))
    found: dict[tuple[Location, bool], Problem] = {}
    for wanted in held:
        holder = _holder(containers, wanted, project, stack)
        if holder is None:
            continue
        wrong = f"{wanted.what} needs {ADDRESS}:{wanted.port}, but {holder.what} holds that port"
        if holder.is_own:
            # One message for the three ports of a slot.
            wrong += ", and the update would free it too late"
            found.setdefault(
                (wanted.where, True), Problem(wanted.where, wrong, _remedy_of_own(settings, wanted))
            )
        else:
            remedy = f"Stop it, or set {_remedy(wanted.where)}."
            found[(*wanted.where, wanted.port), False] = Problem(wanted.where, wrong, remedy)
    return list(found.values())


def is_held(port: int) -> bool:
    """Whether a program listens on this port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without this, connections in TIME_WAIT would count as listeners.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except PermissionError:
            # Only root, as the Docker Engine, may bind ports below 1024; every user may connect.
            return probe.connect_ex((ADDRESS, port)) == 0
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


@dataclass(frozen=True)
class _Wanted:
    """A port that a host is to publish on 127.0.0.1."""

    port: int
    what: str
    """What listens there, in words."""
    where: Location
    """The setting that decides the port."""
    host: str


@dataclass(frozen=True)
class _Holder:
    """What holds a port."""

    what: str
    is_own: bool = False
    """Whether it is another host of the same stack, of which no update can be sure that it goes first."""


def _wanted(settings: StackSettings) -> Iterator[_Wanted]:
    for host in settings.hosts:
        for port, what in settings.published_ports(host).items():
            yield _Wanted(port, f"{what} of {host}", ("hosts", host, "slot"), host)
    if registry := settings.registry_host:
        yield _Wanted(settings.registry_port, "the registry", ("registry", "port"), registry)
        if settings.registry.metrics_port:
            where: Location = ("registry", "metricsPort")
            yield _Wanted(settings.registry.metrics_port, "the registry's metrics", where, registry)


def _remedy_of_own(settings: StackSettings, wanted: _Wanted) -> str:
    """A free slot; or another port of the registry."""
    if wanted.where[0] != "hosts":
        return f"Set {path_of(wanted.where)} to another number."
    taken = {settings.slot(host) for host in settings.hosts}
    free = next(
        (
            slot
            for slot in range(100)
            if slot not in taken
            and not any(
                is_held(port + slot - settings.slot(wanted.host))
                for port in settings.published_ports(wanted.host)
            )
        ),
        99,
    )
    where = path_of(wanted.where)
    return f"Set {where} to a free number, such as {free}; or first free the port, in an update of its own."


def _remedy(where: Location) -> str:
    return f"{path_of(where)} or slipway:platform.portOffset to another number"


def _holder(containers: list[dict[str, Any]], wanted: _Wanted, project: str, stack: str) -> _Holder | None:
    """What holds the port; None if it is the host itself."""
    for container in containers:
        if any(published.get("PublicPort") == wanted.port for published in container.get("Ports") or ()):
            found = container.get("Labels") or {}
            label = found.get(STACK_LABEL)
            name = str((container.get("Names") or ["/?"])[0]).removeprefix("/")
            if (found.get(PROJECT_LABEL), label) == (project, stack):
                # Hosts of older versions have no label with their name.
                host = found.get(HOST_LABEL) or name.removeprefix(f"slipway-{stack}-")
                return (
                    None
                    if host in (wanted.host, name)
                    else _Holder(f"the stack's own host {host}", is_own=True)
                )
            text = f"the container {name}" + (f" of the stack {label}" if label else "") + _of(found, project)
            return _Holder(text)
    return _Holder(_program(wanted.port) or "another program")


def _of(found: dict[str, str], project: str) -> str:
    """The project of a host's container, in words, if it is another project."""
    other = found.get(PROJECT_LABEL, project)
    return f" of the project {other}" if other != project else ""


def _program(port: int) -> str | None:
    """The program that listens on the port, in words. Linux shows other users' programs to root only."""
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for descriptor in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()) in inodes:
                process = descriptor.parent.parent
                name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"{name} (process {process.name})"
    return None


def _containers(path: str) -> list[dict[str, Any]]:
    """The running containers; none if no Docker Engine answers."""
    usual = ("/var/run/docker.sock", f"{os.environ.get('XDG_RUNTIME_DIR', '')}/docker.sock")
    candidates = [path] if path else [*usual, str(Path.home() / ".docker/run/docker.sock")]
    for candidate in candidates:
        with contextlib.suppress(EngineUnreachable, ValueError):
            return list(json.loads(engine_socket.get(candidate, "/containers/json", TIMEOUT)))
    return []
