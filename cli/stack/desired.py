"""What a stack's resources have made on its hosts, from the state: the desired side of a comparison with the hosts."""

import re
import shlex
from typing import Any

from cli.running.drift import Desired, Login
from cli.stack import deployment
from cli.stack.deployment import CONTAINER_TYPE, REMOTE_COMMAND, Deployment, Resource
from well_known import (
    PROXY_CONTAINER,
    REGISTRY_CONTAINER,
    REGISTRY_PROXY_CONTAINER,
    SWITCH_SCRIPT_PATH,
)

SUDO = "sudo -n "
"""What `components/host.py` puts ahead of commands for a login user who is not root; an SSH client here does, too."""
MADE = "made "
Attached = tuple[str, tuple[str, ...]]
"""A network of a container, and the container's names there."""
"""The start of a line of a set-up script's output that says what it made (components/scripts/lib.sh)."""


def desired(state: Deployment, host: str | None = None) -> list[Desired]:
    """What the resources of a state have made, in the state's order.

    Set-up scripts of an older version do not say what they made, and are left out.

    Args:
        state: a state that was exported with its secrets.
        host: only what is on this host.

    """
    hosts = {resource["urn"]: name for name, resource in deployment.hosts(state).items()}
    found: list[Desired] = []
    logins: dict[str, Login] = {}
    containers: dict[tuple[str, str], str] = {}
    networks: dict[str, tuple[Attached, ...]] = {}
    alone: set[str] = set()
    for resource in deployment.managed(state):
        name = hosts.get(deployment.host_urn(state, resource), "")
        if resource.get("delete") or not name or host not in {None, name}:
            continue
        if resource["type"] == CONTAINER_TYPE:
            container = (resource.get("outputs") or {}).get("name", "")
            containers[name, container] = resource["urn"]
            given = resource.get("inputs") or {}
            networks[resource["urn"]] = tuple(
                (network["name"], tuple(network.get("aliases") or ()))
                for network in map(deployment.plain, given.get("networksAdvanced") or ())
            )
            if container not in {PROXY_CONTAINER, REGISTRY_CONTAINER} and (
                given.get("volumes") or given.get("ports")
            ):
                alone.add(container)
            continue
        if resource["type"] != REMOTE_COMMAND:
            continue
        inputs = deployment.plain(resource.get("inputs") or {})
        login = logins[name] = _login(name, inputs["connection"])
        if part := _set_up(resource, inputs, login) or _route(resource, inputs, login):
            found.append(part)
    return [*found, *_containers(found, logins, containers, networks, alone)]


def _login(host: str, connection: dict[str, Any]) -> Login:
    return Login(
        host,
        connection["host"],
        int(connection.get("port") or 22),
        connection.get("user") or "root",
        connection["privateKey"],
        connection["hostKey"],
    )


def command(state: Deployment, resource: Resource) -> Desired | None:
    """A remote command of the state, as it ran when it was created; None if its host is not in the state."""
    hosts = {machine["urn"]: name for name, machine in deployment.hosts(state).items()}
    name = hosts.get(deployment.host_urn(state, resource))
    if name is None:
        return None
    inputs = deployment.plain(resource.get("inputs") or {})
    login = _login(name, inputs["connection"])
    return Desired(login, resource["urn"], (), inputs["create"].removeprefix(SUDO), inputs.get("stdin") or "")


def _set_up(resource: Resource, inputs: dict[str, Any], login: Login) -> Desired | None:
    output = str(deployment.plain((resource.get("outputs") or {}).get("stdout") or ""))
    made = tuple(line.removeprefix(MADE) for line in output.splitlines() if line.startswith(MADE))
    if not (made and inputs.get("stdin")):
        return None
    command = inputs.get("update") or inputs["create"]
    return Desired(login, resource["urn"], made, command.removeprefix(SUDO), inputs["stdin"])


def _route(resource: Resource, inputs: dict[str, Any], login: Login) -> Desired | None:
    """What serves on a host, from a switch command: `… switch SERVICE CONTAINER …`, or with `--start` ahead."""
    words = shlex.split(inputs.get("create") or "")
    if SWITCH_SCRIPT_PATH not in words:
        return None
    arguments = words[words.index(SWITCH_SCRIPT_PATH) + 1 :]
    kind = "route"
    if arguments[:1] == ["--start"]:
        kind, arguments = "service", arguments[1:]
    if len(arguments) < 2 or arguments[0].startswith("-"):
        return None
    return Desired(
        login,
        resource["urn"],
        (f"{kind} {arguments[0]} {arguments[1]}",),
        # A repair waits for no other host.
        re.sub(r" pause=\d+$", "", inputs["create"].removeprefix(SUDO)),
    )


def _containers(
    found: list[Desired],
    logins: dict[str, Login],
    containers: dict[tuple[str, str], str],
    networks: dict[str, tuple[Attached, ...]],
    alone: set[str],
) -> list[Desired]:
    """The containers that run: Slipway's own, and those that a route leads to.

    A container of a version that never became healthy is in the state, too, and may have ended.
    """
    own = (PROXY_CONTAINER, REGISTRY_CONTAINER, REGISTRY_PROXY_CONTAINER)
    wanted = {(host, name) for host in logins for name in own}
    wanted |= {
        (part.host, part.made[0].split()[2])
        for part in found
        if part.made[0].split()[0] in {"route", "service"}
    }
    return [
        Desired(
            logins[host],
            urn,
            (f"container {name}", *(f"network {name} {network}" for network, _ in networks[urn])),
            _start(name, networks[urn], alone=name in alone),
        )
        for (host, name), urn in containers.items()
        if (host, name) in wanted
    ]


def _start(container: str, networks: tuple[Attached, ...], *, alone: bool) -> str:
    """The command that starts a container that exists; one that must be alone, unless another version runs.

    Whoever took it out of its networks is undone first. It has another address then, which the proxy has to know.
    """
    name = shlex.quote(container)
    connect = "".join(
        f"docker network connect {''.join(f'--alias {shlex.quote(alias)} ' for alias in aliases)}"
        f"{shlex.quote(network)} {name} 2>/dev/null && moved=yes; "
        for network, aliases in networks
    )
    start = f"docker start {name}"
    if alone:
        start = f"if {SWITCH_SCRIPT_PATH} --may-start {name}; then {start}; fi"
    look = f'; [ -z "${{moved:-}}" ] || {SWITCH_SCRIPT_PATH} --restore' if networks else ""
    return f"sh -c {shlex.quote(f'docker unpause {name} 2>/dev/null; {connect}{start}{look}')}"
