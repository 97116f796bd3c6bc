"""An update with an order to the program (components/rollbacks.py), limited to a service's own resources."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cli.stack import deployment
from cli.stack.deployment import Deployment
from cli.stack.stack import Stack
from well_known import KEEP_VARIABLE, PROMOTE_VARIABLE, RECOVER_VARIABLE, ROLLBACK_VARIABLE

SERVICE_COMPONENT = "slipway:index:Service"
IMAGE_COMPONENT = "slipway:index:AppImage"


def ordered(stack: Stack, back: Mapping[str, int]) -> Stack:
    """The stack, whose updates take services back to versions."""
    return _with(stack, ROLLBACK_VARIABLE, (f"{service}={number}" for service, number in back.items()))


def keeping(stack: Stack, services: Iterable[str]) -> Stack:
    """The stack, whose updates keep services at what they have; `KEEP_ALL` for all."""
    return _with(stack, KEEP_VARIABLE, services)


def promoting(stack: Stack, versions: Mapping[str, Mapping[str, object]]) -> Stack:
    """The stack, whose updates deploy versions of another stack (components/promotion.py)."""
    return _with(stack, PROMOTE_VARIABLE, [json.dumps(versions)])


def recovering(stack: Stack, versions: Mapping[str, Mapping[str, object]]) -> Stack:
    """The stack, whose updates know versions that its state does not have (components/recovered.py)."""
    return _with(stack, RECOVER_VARIABLE, [json.dumps(versions)]) if versions else stack


def _with(stack: Stack, variable: str, words: Iterable[str]) -> Stack:
    variables = {**stack.pulumi.variables, variable: ",".join(words)}
    return replace(stack, pulumi=replace(stack.pulumi, variables=variables))


def resources_of(state: Deployment, service: str) -> list[str]:
    """All resources of a service and of its image, by URN."""
    return [
        str(resource["urn"])
        for resource in deployment.resources(state)
        if any(
            _is(str(urn or ""), kind, service)
            for urn in (resource["urn"], resource.get("parent"))
            for kind in (SERVICE_COMPONENT, IMAGE_COMPONENT)
        )
    ]


def containers_of(state: Deployment, service: str) -> list[str]:
    """The containers of a service, by URN."""
    return [
        str(resource["urn"])
        for resource in deployment.resources(state)
        if resource.get("type") == deployment.CONTAINER_TYPE
        and not resource.get("delete")
        and _is(str(resource.get("parent") or ""), SERVICE_COMPONENT, service)
    ]


def targets_of(state: Deployment, service: str, silent: Sequence[str] = ()) -> list[str]:
    """The resources of a service, by URN: its containers, switches, pulls and in-use markers, but not its image.

    Args:
        state: the stack's.
        service: the service's name.
        silent: hosts that do not answer; what is on them stays as it is.

    """
    hosts = {resource["urn"]: name for name, resource in deployment.hosts(state).items()}
    found = []
    for resource in deployment.resources(state):
        if resource.get("delete"):
            continue
        urn, parent = str(resource["urn"]), str(resource.get("parent") or "")
        own = _is(urn, SERVICE_COMPONENT, service) or _is(parent, SERVICE_COMPONENT, service)
        marker = resource.get("type") == deployment.VOLUME_TYPE and _is(parent, IMAGE_COMPONENT, service)
        if (own or marker) and hosts.get(deployment.host_urn(state, resource), "") not in silent:
            found.append(urn)
    return found


def limited_to(urns: Iterable[str]) -> list[str]:
    """Pulumi's options that limit an update to these resources."""
    return [word for urn in urns for word in ("--target", urn)]


def _is(urn: str, kind: str, name: str) -> bool:
    parts = urn.split("::")
    return len(parts) == 4 and parts[2].rpartition("$")[2] == kind and parts[3] == name
