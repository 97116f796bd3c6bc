"""docker.Network, and the function getNetwork."""

from collections.abc import Mapping
from typing import Any

from plugins.bridge.schema import State
from plugins.bridge.state import from_pulumi, ordered, plan, refresh, settle, write
from plugins.docker.engine import (
    Engine,
    EngineError,
    NotFoundError,
    engine_errors,
    failure,
    label_pairs,
    labels_of,
    retry_while,
)
from plugins.docker.tables import NETWORK
from plugins.protocol.messages import CreateRequest, CreateResponse, DeleteRequest, Failure, ReadRequest
from plugins.protocol.properties import Properties, Unknown


def create(request: CreateRequest, engine: Engine) -> CreateResponse:
    """Create a network."""
    planned = plan(request.properties, NETWORK.attributes)
    given = {name: None if isinstance(value, Unknown) else value for name, value in planned.items()}
    try:
        with engine_errors():
            made = engine.client.create_network(
                str(given["name"]),
                driver=given["driver"],
                options=given["options"],
                ipam=_ipam(given),  # type: ignore[arg-type]  # the body itself, without the SDK's own names
                internal=bool(given["internal"]),
                labels=labels_of(given["labels"]),
                enable_ipv6=bool(given["ipv6"]),
                attachable=given["attachable"],
                ingress=given["ingress"],
            )
            network = engine.client.inspect_network(made["Id"])
    except (EngineError, NotFoundError) as error:
        raise failure(f"Unable to create network: {error}") from error
    observed = _observe(network)
    if not isinstance(planned["ipamConfigs"], Unknown):
        observed["ipamConfigs"] = planned["ipamConfigs"]
    state = settle(planned, observed, NETWORK.attributes)
    return CreateResponse(made["Id"], write(made["Id"], state, NETWORK))


def _ipam(given: State) -> Properties:
    configs = [
        {
            "Subnet": config["subnet"],
            "IPRange": config["ipRange"],
            "Gateway": config["gateway"],
            "AuxiliaryAddresses": config["auxAddress"] or {},
        }
        for config in given["ipamConfigs"] or []
    ]
    return {
        "Driver": given["ipamDriver"],
        "Config": [{name: value for name, value in config.items() if value} for config in configs],
        "Options": given["ipamOptions"] or {},
    }


def _observe(network: Mapping[str, Any]) -> State:
    ipam = network["IPAM"]
    return {
        "attachable": network["Attachable"],
        "driver": network["Driver"],
        "ingress": network["Ingress"],
        "internal": network["Internal"],
        "ipamConfigs": ordered(_ipam_configs(ipam), NETWORK.attributes["ipamConfigs"]),
        "ipamDriver": ipam["Driver"],
        "ipamOptions": ipam.get("Options") or {},
        "ipv6": network["EnableIPv6"],
        "labels": label_pairs(network["Labels"]),
        "name": network["Name"],
        "options": network["Options"] or {},
        "scope": network["Scope"],
    }


def _ipam_configs(ipam: Mapping[str, Any]) -> list[Properties]:
    return [
        {
            "auxAddress": config.get("AuxiliaryAddresses") or {},
            "gateway": config.get("Gateway", ""),
            "ipRange": config.get("IPRange", ""),
            "subnet": config.get("Subnet", ""),
        }
        for config in ipam.get("Config") or []
    ]


def read(request: ReadRequest, engine: Engine) -> tuple[str, State] | None:
    """Return the network's id and state, or None if it is gone."""
    try:
        with engine_errors():
            network = engine.client.inspect_network(request.id)
    except NotFoundError:
        return None
    before = from_pulumi(request.properties, NETWORK.attributes)
    return str(network["Id"]), refresh(before, _observe(network), NETWORK.attributes)


def delete(request: DeleteRequest, engine: Engine) -> None:
    """Remove the network when no container uses it any more. It is no failure if it is already gone."""
    try:
        retry_while("has active endpoints", lambda: engine.client.remove_network(request.id))
    except NotFoundError:
        return
    except EngineError as error:
        raise failure(f"Unable to remove network: {error}") from error


def get_network(arguments: Properties, engine: Engine) -> Properties:
    """Return the result of getNetwork for the network with the name `arguments["name"]`."""
    name = str(arguments.get("name", ""))
    try:
        with engine_errors():
            network = engine.client.inspect_network(name)
    except (EngineError, NotFoundError) as error:
        raise Failure(
            f"invoking docker:index/getNetwork:getNetwork: 1 error occurred:\n\t* {error}\n\n"
        ) from error
    containers = [
        {
            "containerId": container_id,
            "endpointId": container["EndpointID"],
            "ipv4Address": container["IPv4Address"],
            "ipv6Address": container["IPv6Address"],
            "macAddress": container["MacAddress"],
            "name": container["Name"],
        }
        for container_id, container in sorted((network["Containers"] or {}).items())
    ]
    return {
        "containers": containers,
        "driver": network["Driver"],
        "id": network["Id"],
        "internal": network["Internal"],
        "ipamConfigs": _ipam_configs(network["IPAM"]),
        "name": name,
        "options": network["Options"] or {},
        "scope": network["Scope"],
    }
