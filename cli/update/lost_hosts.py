"""Hosts of the platform `local` whose container is gone, and hosts that only their remains in the state tell of.

Such a host is lost for certain, so `up` forgets it by itself and makes it again: Pulumi would ask its engine first, and
fail, in every update.
"""

from collections.abc import Collection

from cli import console
from cli.stack import deployment
from cli.stack.deployment import CONTAINER_TYPE, NETWORK_TYPE, Deployment
from cli.stack.stack import Stack
from cli.update import diagnosis, forget, ownership
from engine_socket import EngineUnreachable
from toolchain import docker_socket


def recover(stack: Stack) -> bool:
    """Forget the hosts that are lost for certain. Returns whether there were any: the next update has to refresh.

    Without a state file, reading the state takes a third of a second, so only file backends are looked at; Pulumi's
    failure names the hosts of others.
    """
    if stack.backend.directory is None:
        return False
    state = stack.deployment()
    lost = {**_silent(state, lost_machines(state, _present())), **orphans(state)}
    if not lost:
        return False
    exported = stack.export()
    backup = forget.back_up(stack, exported)
    for host, reason in sorted(lost.items()):
        exported["deployment"] = forget.forget(exported["deployment"], host).deployment
        console.say(f"{host}: {reason}. What was on it is forgotten, and this update makes it again.")
    stack.import_state(exported)
    console.say(f"The previous state is in {backup.relative_to(stack.project.root)}.")
    return True


def will_be_made(stack: Stack) -> bool:
    """Whether the next update adds hosts to a stack, or makes some anew, as far as the state's file says."""
    if stack.backend.directory is None:
        return False
    hosts = deployment.hosts(stack.deployment())
    there = {name for name, resource in hosts.items() if not resource.get("taint")}
    return bool(there and set(stack.config.hosts) - there)


def orphans(state: Deployment) -> dict[str, str]:
    """The hosts that are not in the state although things on them are, with the reason: a refresh leaves them so."""
    return dict.fromkeys(deployment.orphaned_hosts(state), "it was deleted outside of Pulumi")


def lost_machines(state: Deployment, present: Collection[str] | None) -> dict[str, str]:
    """The hosts whose container the operator's engine does not have, or whose network, with the reason.

    Args:
        state: the stack's.
        present: the ids of all containers and networks on the operator's engine; None if it does not answer.

    """
    if present is None:
        return {}
    hosts = {
        name: resource
        for name, resource in deployment.hosts(state).items()
        if resource["type"] == CONTAINER_TYPE and not resource.get("taint") and ownership.is_here(resource)
    }
    networks = [
        resource["id"]
        for resource in deployment.managed(state)
        if resource["type"] == NETWORK_TYPE and not resource.get("delete") and ownership.is_here(resource)
    ]
    if any(network not in present for network in networks):
        return dict.fromkeys(hosts, "its network is gone from this machine's Docker Engine")
    return {
        name: "its container is gone from this machine's Docker Engine"
        for name, resource in hosts.items()
        if resource["id"] not in present
    }


def _silent(state: Deployment, lost: dict[str, str]) -> dict[str, str]:
    """Those of the hosts that do not answer. One that answers is on another engine than the one that was asked."""
    if not lost:
        return {}
    answering = {
        endpoint.host
        for endpoint in diagnosis.endpoints(state)
        if endpoint.host in lost and not diagnosis.failure(endpoint)
    }
    return {host: reason for host, reason in lost.items() if host not in answering}


def _present() -> Collection[str] | None:
    try:
        return docker_socket.identifiers()
    except (EngineUnreachable, ValueError):
        return None
