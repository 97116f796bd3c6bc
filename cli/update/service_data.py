"""The volumes of services: what goes with a host."""

from collections.abc import Collection

from cli.stack import deployment
from cli.stack.deployment import VOLUME_TYPE, Deployment
from well_known import VOLUME_LABEL


def volumes(state: Deployment) -> dict[str, list[str]]:
    """The names of services' volumes, `SERVICE.VOLUME`, by host.

    Args:
        state: the stack's state.

    """
    hosts = {resource["urn"]: name for name, resource in deployment.hosts(state).items()}
    found: dict[str, list[str]] = {}
    for resource in deployment.managed(state):
        if resource.get("type") != VOLUME_TYPE or resource.get("delete"):
            continue
        inputs = resource.get("inputs") or {}
        host = hosts.get(deployment.host_urn(state, resource))
        labels = {label.get("label") for label in inputs.get("labels") or () if isinstance(label, dict)}
        if host and VOLUME_LABEL in labels:
            found.setdefault(host, []).append(str(inputs.get("name")))
    return found


def named(found: dict[str, list[str]], hosts: Collection[str]) -> str:
    """What is lost with these hosts, as the end of a sentence; empty for nothing."""
    lost = [volume for host in hosts for volume in found.get(host, ())]
    return f"the data of services in {', '.join(lost)}" if lost else ""
