"""A host's firewall: what its containers and build steps may reach of the stack's hosts (scripts/firewall.sh)."""

from collections.abc import Mapping

import pulumi

from components.host import Host
from configuration.settings import StackSettings


def arguments(settings: StackSettings, hosts: Mapping[str, Host], name: str) -> pulumi.Output[str]:
    """The arguments of the host's `firewall.sh`.

    Args:
        settings: the stack's.
        hosts: the stack's hosts, by name.
        name: the host.
    """
    others = sorted(hosts.keys() - {name})
    ports = {host: its.open_to_containers for host, its in settings.hosts.items()}
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


def merged(hosts: list[tuple[str, tuple[int, ...]]]) -> list[str]:
    """An argument for each address, with the ports of all hosts that share it, as those of a network do."""
    found: dict[str, set[int]] = {}
    for address, ports in hosts:
        if address:
            found.setdefault(address, set()).update(ports)
    return [as_argument(address, tuple(ports)) for address, ports in sorted(found.items())]


def as_argument(address: str, ports: tuple[int, ...]) -> str:
    """The ports in their order, and the address: `5432,9100=10.83.0.7`."""
    return f"{','.join(str(port) for port in sorted(ports))}={address}"
