"""A stack's state as data: the resources of a deployment, as `pulumi stack export` prints it. Pure functions."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Resource = dict[str, Any]
Deployment = dict[str, Any]

SECRET_SIGNATURE = ("4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270")
"""The key and value with which Pulumi marks an object as a secret."""

CONTAINER_TYPE = "docker:index/container:Container"
NETWORK_TYPE = "docker:index/network:Network"
VOLUME_TYPE = "docker:index/volume:Volume"

REMOTE_COMMAND = "command:remote:Command"

HOST_TYPES = frozenset({CONTAINER_TYPE, "aws:ec2/instance:Instance"})
"""The types of resources that can be a host."""

DOCKER_PROVIDER = "pulumi:providers:docker"


def resources(deployment: Deployment) -> list[Resource]:
    """All resources, each after those that it depends on."""
    found: list[Resource] = deployment.get("resources") or []
    return found


def pending_operations(deployment: Deployment) -> list[dict[str, Any]]:
    """The operations that a killed update began and did not finish: `{"resource": …, "type": "creating" …}`."""
    found: list[dict[str, Any]] = deployment.get("pending_operations") or []
    return found


def name_of(urn: str) -> str:
    """The resource's name: the last part of its URN."""
    return urn.rpartition("::")[2]


def provider_urn(resource: Resource) -> str:
    """The URN of the resource's provider (`provider` is `URN::ID`), or empty."""
    reference: str = resource.get("provider") or ""
    return reference.rpartition("::")[0]


def has_secret_shape(value: object) -> bool:
    """Whether a value in the state is marked as a secret."""
    key, signature = SECRET_SIGNATURE
    return isinstance(value, dict) and value.get(key) == signature


def plain(value: object) -> Any:
    """A property's plain value, from a state that was exported with its secrets.

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
    """The stack's outputs, without the secret ones."""
    for resource in resources(deployment):
        if resource.get("type") == "pulumi:pulumi:Stack" and not resource.get("delete"):
            outputs: Mapping[str, Any] = resource.get("outputs") or {}
            return {key: value for key, value in outputs.items() if not has_secret_shape(value)}
    return {}


def outputs_with_secrets(deployment: Deployment) -> dict[str, Any]:
    """The stack's outputs, secrets in plain text, from a state that was exported with its secrets.

    They must not leave this process.
    """
    for resource in resources(deployment):
        if resource.get("type") == "pulumi:pulumi:Stack" and not resource.get("delete"):
            outputs: dict[str, Any] = plain(resource.get("outputs") or {})
            return outputs
    return {}


def managed(deployment: Deployment) -> list[Resource]:
    """The resources that exist outside the state: neither components nor providers."""
    return [
        resource
        for resource in resources(deployment)
        if resource.get("custom") and not str(resource.get("type", "")).startswith("pulumi:providers:")
    ]


def is_guest(deployment: Deployment) -> bool:
    """Whether the stack is on hosts of another one: what is done to a whole host is not its business."""
    kind = "slipway:index:OthersEngine"
    return any(resource.get("type") == kind for resource in resources(deployment))


def hosts(deployment: Deployment) -> dict[str, Resource]:
    """The resource of each host itself, by the host's name.

    A host is a resource with which others are deleted (`deletedWith`), directly or through another one; or, if it is
    new and still empty, a resource of a host's type that the stack's output `hosts` names.
    """
    deleted_with = _deleted_with(deployment)
    hosts_of_others = {_host_of(urn, deleted_with) for urn in deleted_with}
    announced = stack_outputs(deployment).get("hosts")
    names = set(announced) if isinstance(announced, dict) else set()
    return {
        name_of(resource["urn"]): resource
        for resource in managed(deployment)
        if not resource.get("delete")
        and resource.get("type") in HOST_TYPES
        and (resource["urn"] in hosts_of_others or name_of(resource["urn"]) in names)
    }


def orphaned_hosts(deployment: Deployment) -> dict[str, str]:
    """The hosts that the state has no more although it has things on them: the end of their chains of `deletedWith`.

    A refresh that finds a machine gone leaves the state so: what was on the machine could not be asked for. By the
    host's name, the URN of its first set-up command, or of the machine itself.
    """
    # A machine that Pulumi is about to delete is still there.
    present = {resource["urn"] for resource in managed(deployment)}
    deleted_with = _deleted_with(deployment)
    found = {}
    for urn in {_host_of(urn, deleted_with) for urn in deleted_with}:
        kind = urn.rpartition("::")[0].rpartition("::")[2].rpartition("$")[2]
        name = name_of(urn)
        if kind in HOST_TYPES and urn not in present:
            found[name] = urn
        elif kind == REMOTE_COMMAND:
            found[name.removesuffix("-setup").removesuffix("-boot")] = urn
    return found


def host_urn(deployment: Deployment, resource: Resource) -> str:
    """The URN of the host that a resource is on, the end of its chain of `deletedWith`; empty for any other resource.

    The host itself may be missing in the state.
    """
    return _host_of(resource["urn"], _deleted_with(deployment)) if resource.get("deletedWith") else ""


def engine_addresses(deployment: Deployment) -> dict[str, str]:
    """The address of each host's engine, `tcp://address:port`, from the host's Docker provider.

    This also finds hosts of an update that failed before it wrote outputs.
    """
    found: dict[str, str] = {}
    by_urn = {resource["urn"]: resource for resource in resources(deployment)}
    deleted_with = _deleted_with(deployment)
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
            found[name_of(_host_of(resource["deletedWith"], deleted_with))] = address
    return found


def _deleted_with(deployment: Deployment) -> dict[str, str]:
    """What each resource is deleted with, by URN, for the resources that say so."""
    return {
        resource["urn"]: resource["deletedWith"]
        for resource in resources(deployment)
        if resource.get("deletedWith")
    }


def _host_of(urn: str, deleted_with: Mapping[str, str]) -> str:
    """The end of a resource's chain of `deletedWith`: its host."""
    seen = set()
    while urn in deleted_with and urn not in seen:
        seen.add(urn)
        urn = deleted_with[urn]
    return urn


def providers(deployment: Deployment) -> Iterator[Resource]:
    """The providers that the program made, without Pulumi's shared default providers."""
    for resource in resources(deployment):
        if str(resource.get("type", "")).startswith("pulumi:providers:") and not name_of(
            resource["urn"]
        ).startswith("default"):
            yield resource
