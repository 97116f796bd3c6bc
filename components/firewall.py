"""A host's firewall: what its containers and build steps may reach of the stack's hosts (scripts/firewall.sh)."""

from collections.abc import Mapping

import pulumi

from components.host import Host
from configuration.ports import PublishedPort
from configuration.settings import StackSettings

OpenPort = int | str
"""A TCP port, or a UDP port such as `5353/udp`."""


def arguments(settings: StackSettings, hosts: Mapping[str, Host], name: str) -> pulumi.Output[str]:
    """The arguments of the host's `firewall.sh`.

    Args:
        settings: the stack's.
        hosts: the stack's hosts, by name.
        name: the host.
    """
    others = sorted(hosts.keys() - {name})
    ports = {
        host: (*its.open_to_containers, *map(_public, settings.public_ports(host)))
        for host, its in settings.hosts.items()
    }
    private = settings.private_ports if "app" in settings.hosts[name].roles else {}
    own = as_argument("", tuple({*ports[name], *private}))
    return pulumi.Output.all(*(hosts[other].seen_by_containers for other in others)).apply(
        lambda addresses: " ".join(
            [
                own,
                *merged([(address, ports[other]) for address, other in zip(addresses, others, strict=True)]),
            ]
        )
    )


def _public(port: PublishedPort) -> OpenPort:
    return port.host if port.protocol == "tcp" else f"{port.host}/udp"


def merged(hosts: list[tuple[str, tuple[OpenPort, ...]]]) -> list[str]:
    """An argument for each address, with the ports of all hosts that share it, as those of a network do."""
    found: dict[str, set[OpenPort]] = {}
    for address, ports in hosts:
        if address:
            found.setdefault(address, set()).update(ports)
    return [as_argument(address, tuple(ports)) for address, ports in sorted(found.items())]


def as_argument(address: str, ports: tuple[OpenPort, ...]) -> str:
    """The ports in their order, and the address: `5432,9100=10.83.0.7`."""
    in_order = sorted(map(str, ports), key=lambda port: (int(port.partition("/")[0]), port))
    return f"{','.join(in_order)}={address}"
