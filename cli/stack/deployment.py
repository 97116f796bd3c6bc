"""A stack's state as data: the resources of a deployment, as `pulumi stack export` prints it.

Everything here is a pure function over the parsed JSON.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Resource = dict[str, Any]
Deployment = dict[str, Any]

SECRET_SIGNATURE = ("4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270")
"""The key and the value by which Pulumi marks an object that stands for a secret."""

HOST_TYPES = frozenset({"docker:index/container:Container", "aws:ec2/instance:Instance"})
"""The types of the resources that can be a host."""

DOCKER_PROVIDER = "pulumi:providers:docker"


def resources(deployment: Deployment) -> list[Resource]:
    """All the resources, in the order in which they depend on one another."""
    found: list[Resource] = deployment.get("resources") or []
    return found


def pending_operations(deployment: Deployment) -> list[dict[str, Any]]:
    """What a killed update had begun and not finished: `{"resource": …, "type": "creating" …}`."""
    found: list[dict[str, Any]] = deployment.get("pending_operations") or []
    return found


def name_of(urn: str) -> str:
    """The resource's own name, the last part of its URN."""
    return urn.rpartition("::")[2]


def provider_urn(resource: Resource) -> str:
    """The URN of the resource's provider (`provider` is `URN::ID`), or `""`."""
    reference: str = resource.get("provider") or ""
    return reference.rpartition("::")[0]


def has_secret_shape(value: object) -> bool:
    """Whether a value of the state stands for a secret."""
    key, signature = SECRET_SIGNATURE
    return isinstance(value, dict) and value.get(key) == signature


def plain(value: object) -> Any:
    """A property without its secret marks, from a state exported with its secrets.

    Raises:
        ValueError: the secret is still encrypted.

    """
    if has_secret_shape(value):
        assert isinstance(value, dict)  # noqa: S101 - for the type checker: has_secret_shape looked
        if "plaintext" not in value:
            raise ValueError("the secret is encrypted")
        return plain(json.loads(value["plaintext"]))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def stack_outputs(deployment: Deployment) -> dict[str, Any]:
    """The stack's outputs as far as they are no secrets."""
    for resource in resources(deployment):
        if resource.get("type") == "pulumi:pulumi:Stack" and not resource.get("delete"):
            outputs: Mapping[str, Any] = resource.get("outputs") or {}
            return {key: value for key, value in outputs.items() if not has_secret_shape(value)}
    return {}


def managed(deployment: Deployment) -> list[Resource]:
    """The resources that something outside the state stands behind: neither components nor providers."""
    return [
        resource
        for resource in resources(deployment)
        if resource.get("custom") and not str(resource.get("type", "")).startswith("pulumi:providers:")
    ]


def hosts(deployment: Deployment) -> dict[str, Resource]:
    """The host's own resource for each host, by name.

    A host is what other resources are deleted with, directly or through another, or a resource that the stack's output
    `hosts` names and whose type can be a host (a new host that carries nothing yet).
    """
    ends_with = _ends_with(deployment)
    lived_on = {_host_of(urn, ends_with) for urn in ends_with}
    announced = stack_outputs(deployment).get("hosts")
    names = set(announced) if isinstance(announced, dict) else set()
    return {
        name_of(resource["urn"]): resource
        for resource in managed(deployment)
        if not resource.get("delete")
        and (
            resource["urn"] in lived_on
            or (resource.get("type") in HOST_TYPES and name_of(resource["urn"]) in names)
        )
    }


def engine_addresses(deployment: Deployment) -> dict[str, str]:
    """Where the engine of each host answers, `tcp://address:port`, from the host's own Docker provider.

    This also knows hosts of an update that failed before it had outputs.
    """
    found: dict[str, str] = {}
    by_urn = {resource["urn"]: resource for resource in resources(deployment)}
    ends_with = _ends_with(deployment)
    for resource in resources(deployment):
        provider = by_urn.get(provider_urn(resource), {})
        address = (provider.get("inputs") or {}).get("host")
        if (
            resource.get("deletedWith")
            and not resource.get("delete")
            and provider.get("type") == DOCKER_PROVIDER
            and isinstance(address, str)
            and address.startswith("tcp://")
        ):
            found[name_of(_host_of(resource["deletedWith"], ends_with))] = address
    return found


def _ends_with(deployment: Deployment) -> dict[str, str]:
    """What each resource is deleted with, where it says so, by URN."""
    return {
        resource["urn"]: resource["deletedWith"]
        for resource in resources(deployment)
        if resource.get("deletedWith")
    }


def _host_of(urn: str, ends_with: Mapping[str, str]) -> str:
    """The last of what a resource is deleted with: the machine that it lives on."""
    seen = set()
    while urn in ends_with and urn not in seen:
        seen.add(urn)
        urn = ends_with[urn]
    return urn


def providers(deployment: Deployment) -> Iterator[Resource]:
    """The providers that the program made itself; Pulumi's default ones are shared by everything."""
    for resource in resources(deployment):
        if str(resource.get("type", "")).startswith("pulumi:providers:") and not name_of(
            resource["urn"]
        ).startswith("default"):
            yield resource
