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
from configuration.ports import Protocol
from configuration.problems import Location, Problem, path_of
from configuration.settings import StackSettings
from engine_socket import EngineUnreachable
from well_known import HOST_LABEL, PROJECT_LABEL, STACK_LABEL

ADDRESS = "127.0.0.1"
LISTENING = {"tcp": "0A", "udp": "07"}
"""State in /proc/net of a socket that takes what comes."""
TIMEOUT = 2.0
"""Seconds for the Docker Engine's answer. A healthy engine lists its containers within milliseconds."""


LocalPort = tuple[int, Protocol]


@dataclass(frozen=True)
class _Wanted:
    """A port that the stack is to publish."""

    port: LocalPort
    what: str
    where: Location
    """The setting that decides on its number."""

    def __str__(self) -> str:
        """The beginning of a sentence: what needs the port."""
        number, protocol = self.port
        return f"{self.what} needs {ADDRESS}:{number}{'/udp' if protocol == 'udp' else ''}"


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
    held = [wanted for wanted in _wanted(settings) if is_held(*wanted.port)]
    if not held:
        return []
    containers = _containers(endpoint.removeprefix("unix://"))
    own = {
        port: host
        for host, ports in _own_ports(containers, project, stack)
        for port in ports
        # Pulumi makes new hosts before it removes others.
        if port not in _ports_of(settings, host)
    }
    return [
        *(
            Problem(
                wanted.where,
                f"{wanted}, which the stack's own host {own[wanted.port]} holds until it is gone",
                f"Set {path_of(wanted.where)} to a number that no host of the stack has had, or keep the host's name.",
            )
            for wanted in held
            if wanted.port in own
        ),
        *(
            Problem(
                wanted.where,
                f"{wanted}, but {holder} holds that port",
                f"Stop it, or set {_remedy(wanted.where)}.",
            )
            for wanted in held
            if (holder := _holder(containers, wanted.port, project, stack)) is not None
        ),
    ]


def is_held(port: int, protocol: Protocol = "tcp") -> bool:
    """Whether a program listens on this port of 127.0.0.1."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if protocol == "tcp":
            # Without this, connections in TIME_WAIT would count as listeners.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except PermissionError:
            # Only root, as the Docker Engine, may bind ports below 1024; every user may connect.
            return protocol == "tcp" and probe.connect_ex((ADDRESS, port)) == 0
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _wanted(settings: StackSettings) -> Iterator[_Wanted]:
    for host in settings.hosts:
        where: Location = ("hosts", host, "slot")
        for number, what in settings.published_ports(host).items():
            yield _Wanted((number, "tcp"), f"{what} of {host}", where)
        for port, service in settings.service_ports(host).items():
            if port.is_public:
                outside = settings.local_port(host, port.host)
                yield _Wanted((outside, port.protocol), f"the service {service} on {host}", where)
    if settings.registry_host:
        yield _Wanted((settings.registry_port, "tcp"), "the registry", ("registry", "port"))
    if settings.registry.metrics_port:
        yield _Wanted(
            (settings.registry.metrics_port, "tcp"), "the registry's metrics", ("registry", "metricsPort")
        )


def _ports_of(settings: StackSettings, host: str) -> set[LocalPort]:
    """The ports that a host publishes by the settings: its own, and those of the registry."""
    if host not in settings.hosts:
        return set()
    return {
        wanted.port
        for wanted in _wanted(settings)
        if wanted.where[1] == host or wanted.where[0] == "registry"
    }


def _own_ports(
    containers: list[dict[str, Any]], project: str, stack: str
) -> Iterator[tuple[str, set[LocalPort]]]:
    """The running hosts of the stack, each with the ports that it holds."""
    for found in containers:
        labels = found.get("Labels") or {}
        if (labels.get(PROJECT_LABEL), labels.get(STACK_LABEL)) == (project, stack) and HOST_LABEL in labels:
            yield (
                labels[HOST_LABEL],
                {
                    (port["PublicPort"], port.get("Type", "tcp"))
                    for port in found.get("Ports") or ()
                    if "PublicPort" in port
                },
            )


def _remedy(where: Location) -> str:
    return f"{path_of(where)} or slipway:platform.portOffset to another number"


def _holder(containers: list[dict[str, Any]], port: LocalPort, project: str, stack: str) -> str | None:
    """What holds the port, in words; None if it is the stack itself."""
    for container in containers:
        if any(
            (published.get("PublicPort"), published.get("Type", "tcp")) == port
            for published in container.get("Ports") or ()
        ):
            found = container.get("Labels") or {}
            label = found.get(STACK_LABEL)
            if (found.get(PROJECT_LABEL), label) == (project, stack):
                return None
            name = str((container.get("Names") or ["/?"])[0]).removeprefix("/")
            return f"the container {name}" + (f" of the stack {label}" if label else "") + _of(found, project)
    return _program(*port) or "another program"


def _of(found: dict[str, str], project: str) -> str:
    """The project of a host's container, in words, if it is another project."""
    other = found.get(PROJECT_LABEL, project)
    return f" of the project {other}" if other != project else ""


def _program(port: int, protocol: Protocol) -> str | None:
    """The program that listens on the port, in words. Linux shows other users' programs to root only."""
    inodes = set()
    for table in (Path(f"/proc/net/{protocol}"), Path(f"/proc/net/{protocol}6")):
        with contextlib.suppress(OSError):
            for line in table.read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING[protocol] and int(fields[1].rpartition(":")[2], 16) == port:
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
