"""Free ports of 127.0.0.1 for a new stack on the platform `local`."""

import contextlib
import itertools
import json
import socket
from collections.abc import Callable, Iterable
from urllib.parse import quote

import engine_socket
from cli.stack.config import StackConfig
from cli.stack.wanted import Wanted, wanted
from engine_socket import EngineUnreachable
from toolchain import docker_socket
from well_known import HOST_LABEL, STACK_LABEL

STEP, LARGEST_OFFSET = 100, 41_000
"""Offsets are multiples of 100, up to the largest that the settings allow: hosts have a hundred slots."""
LAST_PORT = 65_535
TIMEOUT = 2.0
"""Seconds for an engine's answer, which takes milliseconds."""


def offset(
    asked: Wanted,
    current: int,
    taken: Iterable[int],
    is_held: Callable[[int], bool],
    *,
    preferred: Iterable[int] = (),
) -> int | None:
    """The smallest port offset with which no port of a stack is taken; None if there is none.

    Args:
        asked: the stack, with the ports that it has now.
        current: the offset that it has now.
        taken: ports of other stacks, whether they run or not.
        is_held: whether a program holds a port.
        preferred: offsets to try before all others.

    """
    ports = ports_at_zero(asked, current)
    others = frozenset(taken)
    for candidate in itertools.chain(preferred, range(STEP, LARGEST_OFFSET + 1, STEP)):
        shifted = {port + candidate for port in ports}
        if max(shifted, default=0) > LAST_PORT:
            continue
        if not shifted & others and not any(is_held(port) for port in sorted(shifted)):
            return candidate
    return None


def ports_at_zero(asked: Wanted, current: int) -> set[int]:
    """The ports of 127.0.0.1 that a stack would have with a port offset of 0.

    Args:
        asked: the stack, with the ports that it has now.
        current: the offset that it has now.

    """
    return {port - current for ports in (*asked.ports.values(), asked.https) for port in ports}


def of_configurations(configurations: Iterable[StackConfig]) -> set[int]:
    """The ports of the local stacks among these, whether they run or not."""
    found = (wanted(configuration) for configuration in configurations)
    return {
        port
        for stack in found
        if stack and stack.platform == "local"
        for ports in (*stack.ports.values(), stack.https)
        for port in ports
    }


def is_held(port: int) -> bool:
    """Whether a program listens on this port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Not by binding: only root may bind a port below 1024.
        return probe.connect_ex(("127.0.0.1", port)) == 0


def of_hosts() -> dict[str, set[int]]:
    """The ports of every local host on this machine's engine, of any clone, by the stack's name.

    A host that is stopped has its ports, too.
    """
    endpoint = docker_socket.endpoint()
    if not endpoint.startswith("unix://"):
        return {}
    path = endpoint.removeprefix("unix://")
    found: dict[str, set[int]] = {}
    filters = quote(json.dumps({"label": [HOST_LABEL]}))
    with contextlib.suppress(EngineUnreachable, ValueError, LookupError, TypeError):
        for container in json.loads(
            engine_socket.get(path, f"/containers/json?all=1&filters={filters}", TIMEOUT)
        ):
            settings = json.loads(engine_socket.get(path, f"/containers/{container['Id']}/json", TIMEOUT))
            stack = str(container["Labels"].get(STACK_LABEL, ""))
            for bindings in (settings["HostConfig"].get("PortBindings") or {}).values():
                numbers = {int(binding["HostPort"]) for binding in bindings or () if binding.get("HostPort")}
                found.setdefault(stack, set()).update(numbers)
    return found
