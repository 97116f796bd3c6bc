"""The firewall: security groups and their rules, as a pure function of the settings."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from configuration.backup import BackupTarget
from configuration.settings import StackSettings

SSH, ENGINE, HTTP, HTTPS, DNS = 22, 2376, 80, 443, 53

EVERYWHERE = "0.0.0.0/0"
Protocol = Literal["tcp", "udp", "-1"]
ALL: Protocol = "-1"
"""EC2's notation for every protocol."""

HOST_GROUP = "host"
"""The group of every host: administration and outgoing traffic."""
HTTP_GROUP = "http"
"""The group of hosts with public services; groups of services for some networks have it as a prefix."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of a security group. Traffic that no rule allows is dropped."""

    group: str
    """Its group."""
    direction: Literal["ingress", "egress"]
    what: str
    """The purpose of the rule in a word or two: `ssh`, `registry`."""
    protocol: Protocol = "tcp"
    port: int | None = None
    """None for all protocols."""
    network: str | None = None
    """The other side, if it is a network; else `peer`."""
    peer: str | None = None
    """The other side, if it is a group of the same stack."""

    @property
    def name(self) -> str:
        """A name that does not depend on other rules: `host-ssh-from-203.0.113.7-32`."""
        side = "from" if self.direction == "ingress" else "to"
        other = re.sub(r"[/:]+", "-", str(self.peer or self.network))
        what = "" if self.what == self.group else f"-{self.what}"
        return f"{self.group}{what}-{side}-{other}"


def service_groups(settings: StackSettings) -> dict[str, str]:
    """The group of each service behind the proxy, which lets its clients in.

    Services with the same networks share a group, since EC2's default quota is five groups for a host: the group of
    every host, those of its roles, and this one.
    """
    first: dict[frozenset[str], str] = {}
    asked = {name: its for name, its in settings.services.items() if its.own_check is None}
    for service, its in asked.items():
        first.setdefault(frozenset(its.allowed_cidrs), service)
    return {
        service: HTTP_GROUP
        if set(its.allowed_cidrs) == {EVERYWHERE}
        else f"{HTTP_GROUP}-{first[frozenset(its.allowed_cidrs)]}"
        for service, its in asked.items()
    }


def groups_of(settings: StackSettings, host: str) -> list[str]:
    """The groups of a host: the group of every host, those of its roles, and those of its services."""
    of_service = service_groups(settings)
    services = [group for service, group in of_service.items() if host in settings.doors(service)]
    return list(dict.fromkeys([HOST_GROUP, *settings.hosts[host].roles, *services]))


def groups(settings: StackSettings) -> dict[str, str]:
    """Every group of the hosts, with its description."""
    words = {
        HOST_GROUP: "Every host: administration, and the way out",
        "registry": "Keeps the images",
        "build": "Builds images",
        "app": "Runs services",
        "edge": "Stands before the hosts that run services",
        **{
            group: "Serves everybody" if group == HTTP_GROUP else f"Serves the networks of {service}"
            for service, group in reversed(service_groups(settings).items())
        },
    }
    used = {group for host in settings.hosts for group in groups_of(settings, host)}
    return {group: text for group, text in words.items() if group in used}


def rules(settings: StackSettings) -> list[Rule]:
    """Every rule of the stack's security groups.

    Incoming: `adminCidrs` to SSH and engines; the stack's own hosts and the registry's networks to the registry; the
    hosts that run services to private ports; everyone, or a service's own networks, to the services and to their public
    ports. With edges these reach the edges only, but for public ports, and the edges the hosts that run services. All
    other incoming traffic is dropped.
    """
    return list(_rules(settings, set(groups(settings))))


def _rules(settings: StackSettings, present: set[str]) -> Iterator[Rule]:
    for network in settings.platform.admin_cidrs:
        yield Rule(group=HOST_GROUP, direction="ingress", what="ssh", port=SSH, network=network)
        yield Rule(group=HOST_GROUP, direction="ingress", what="engine", port=ENGINE, network=network)
    # Packages and third-party images come over HTTP and HTTPS. EC2 does not filter its own DNS and NTP servers, but
    # existing subnets may use other DNS servers.
    for port, what in ((HTTP, "http"), (HTTPS, "https"), (DNS, "dns")):
        yield Rule(group=HOST_GROUP, direction="egress", what=what, port=port, network=EVERYWHERE)
    yield Rule(
        group=HOST_GROUP, direction="egress", what="dns-udp", protocol="udp", port=DNS, network=EVERYWHERE
    )

    # Hosts that keep backups of services on others. Whoever comes needs the stack's own key.
    kept_on = {its.backup.to.host for its in settings.services.values() if its.backup}
    for group in sorted({settings.hosts[host].roles[0] for host in kept_on if host}):
        yield Rule(group=group, direction="ingress", what="backup", port=SSH, peer="app")

    if "registry" in present:
        yield from _registry_rules(settings, present)
    elif "build" in present and (port := settings.external_port) not in (HTTP, HTTPS):
        yield Rule(group="build", direction="egress", what="registry", port=port, network=EVERYWHERE)
    if "edge" in present:
        # HTTPS ends at an edge. Its own way out to that port is open, as every host's is.
        yield Rule(group="app", direction="ingress", what="http", port=HTTP, peer="edge")
    if "app" in present:
        # Services may use databases, mail servers and APIs at any address.
        yield Rule(group="app", direction="egress", what="all", protocol=ALL, network=EVERYWHERE)
        for port, service in settings.private_ports.items():
            yield Rule(group="app", direction="ingress", what=f"{service}-{port}", port=port, peer="app")
        yield from _public_rules(settings)

    networks = {
        group: settings.services[service].allowed_cidrs
        for service, group in service_groups(settings).items()
        if group in present
    }
    for service_group, allowed in networks.items():
        for network in allowed:
            for number, what in ((HTTP, "http"), (HTTPS, "https")):
                yield Rule(group=service_group, direction="ingress", what=what, port=number, network=network)


def _public_rules(settings: StackSettings) -> Iterator[Rule]:
    """The rules of public ports, once for all hosts: a group of their own would be a sixth, which EC2 refuses."""
    opened: dict[tuple[Protocol, int, str], str] = {}
    for name, service in settings.services.items():
        for port in service.ports.published if settings.service_hosts(name) else ():
            for network in service.allowed_cidrs if port.is_public else ():
                opened.setdefault((port.protocol, port.host, network), name)
    for (protocol, number, network), name in opened.items():
        what = f"{name}-{number}" + ("-udp" if protocol == "udp" else "")
        yield Rule(
            group="app", direction="ingress", what=what, protocol=protocol, port=number, network=network
        )


def _registry_rules(settings: StackSettings, present: set[str]) -> Iterator[Rule]:
    """The rules of the stack's own registry."""
    port = settings.registry_port
    for network in settings.registry_networks:
        yield Rule(group="registry", direction="ingress", what="registry", port=port, network=network)
    for client in ("app", "build"):
        if client in present:
            yield Rule(group="registry", direction="ingress", what="registry", port=port, peer=client)
    if metrics := settings.registry.metrics_port:
        for network in settings.registry.metrics_cidrs:
            yield Rule(group="registry", direction="ingress", what="metrics", port=metrics, network=network)
        if "app" in present:
            yield Rule(group="registry", direction="ingress", what="metrics", port=metrics, peer="app")
    if "build" in present:
        yield Rule(group="build", direction="egress", what="registry", port=port, peer="registry")
    if settings.registry.backup:
        yield from _registry_backup_rules(settings, settings.registry.backup.to)


def _registry_backup_rules(settings: StackSettings, to: BackupTarget) -> Iterator[Rule]:
    """The way of the registry's backups: to another host, or to a bucket on an unusual port."""
    if to.host:
        keeper = settings.hosts[to.host].roles[0]
        yield Rule(group=keeper, direction="ingress", what="backup", port=SSH, peer="registry")
        yield Rule(group="registry", direction="egress", what="backup", port=SSH, peer=keeper)
    port = urlsplit(to.s3).port if to.s3 else None
    if port and port not in {HTTP, HTTPS}:
        yield Rule(group="registry", direction="egress", what="backup", port=port, network=EVERYWHERE)


def is_ipv4(network: str) -> bool:
    """Whether it is an IPv4 network."""
    return ipaddress.ip_network(network).version == 4
