"""Who may reach which port: security groups and their rules, as a pure function of the settings."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from configuration.settings import StackSettings

SSH, ENGINE, HTTP, HTTPS, DNS = 22, 2376, 80, 443, 53

EVERYWHERE = "0.0.0.0/0"
Protocol = Literal["tcp", "udp", "-1"]
ALL: Protocol = "-1"
"""Every protocol, as EC2 writes it."""

HOST_GROUP = "host"
"""The group of every host: who may administer it, and what it may reach."""
HTTP_GROUP = "http"
"""The group of the hosts whose services everybody may reach; others' groups begin with it."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of a security group. Everything that no rule allows is forbidden."""

    group: str
    """The group that it belongs to."""
    direction: Literal["ingress", "egress"]
    what: str
    """The rule's purpose in a word or two: `ssh`, `registry`."""
    protocol: Protocol = "tcp"
    port: int | None = None
    """None with all protocols."""
    network: str | None = None
    """The other side: a network, or else `peer`."""
    peer: str | None = None
    """The other side: a group of the same stack."""

    @property
    def name(self) -> str:
        """A name that stays, whatever other rules come and go: `host-ssh-from-203.0.113.7-32`."""
        side = "from" if self.direction == "ingress" else "to"
        other = re.sub(r"[/:]+", "-", str(self.peer or self.network))
        what = "" if self.what == self.group else f"-{self.what}"
        return f"{self.group}{what}-{side}-{other}"


def service_groups(settings: StackSettings) -> dict[str, str]:
    """For each service the group through which it is reached.

    Services with the same networks share one, since EC2 puts a host into five groups at most, unless its quota is
    raised: that of every host, those of its roles, and this.
    """
    first: dict[frozenset[str], str] = {}
    for service, its in settings.services.items():
        first.setdefault(frozenset(its.allowed_cidrs), service)
    return {
        service: HTTP_GROUP
        if set(its.allowed_cidrs) == {EVERYWHERE}
        else f"{HTTP_GROUP}-{first[frozenset(its.allowed_cidrs)]}"
        for service, its in settings.services.items()
    }


def groups_of(settings: StackSettings, host: str) -> list[str]:
    """The groups of a host: that of every host, those of its roles, and the one of its services."""
    of_service = service_groups(settings)
    services = [of_service[service] for service in settings.services_on(host)]
    return list(dict.fromkeys([HOST_GROUP, *settings.hosts[host].roles, *services]))


def groups(settings: StackSettings) -> dict[str, str]:
    """Every group that some host has, with its description."""
    words = {
        HOST_GROUP: "Every host: administration, and the way out",
        "registry": "Keeps the images",
        "build": "Builds images",
        "app": "Runs services",
        **{
            group: "Serves everybody" if group == HTTP_GROUP else f"Serves the networks of {service}"
            for service, group in reversed(service_groups(settings).items())
        },
    }
    used = {group for host in settings.hosts for group in groups_of(settings, host)}
    return {group: text for group, text in words.items() if group in used}


def rules(settings: StackSettings) -> list[Rule]:
    """Every rule of the stack's security groups.

    Nobody but `adminCidrs` reaches SSH and engines; nobody but the stack's own hosts and the registry's networks
    reaches the registry; everybody, or a service's own networks, reaches the services. Nothing else comes in.
    """
    return list(_rules(settings, set(groups(settings))))


def _rules(settings: StackSettings, present: set[str]) -> Iterator[Rule]:
    for network in settings.platform.admin_cidrs:
        yield Rule(group=HOST_GROUP, direction="ingress", what="ssh", port=SSH, network=network)
        yield Rule(group=HOST_GROUP, direction="ingress", what="engine", port=ENGINE, network=network)
    # Packages and images of others come over HTTP and HTTPS. EC2 filters neither its own name server nor its own clock,
    # but given subnets may have name servers of their own.
    for port, what in ((HTTP, "http"), (HTTPS, "https"), (DNS, "dns")):
        yield Rule(group=HOST_GROUP, direction="egress", what=what, port=port, network=EVERYWHERE)
    yield Rule(
        group=HOST_GROUP, direction="egress", what="dns-udp", protocol="udp", port=DNS, network=EVERYWHERE
    )

    if "registry" in present:
        yield from _registry_rules(settings, present)
    elif "build" in present and (port := settings.external_port) not in (HTTP, HTTPS):
        yield Rule(group="build", direction="egress", what="registry", port=port, network=EVERYWHERE)
    if "app" in present:
        # Services speak to databases, mail servers and other people's APIs, wherever these are.
        yield Rule(group="app", direction="egress", what="all", protocol=ALL, network=EVERYWHERE)

    networks = {
        group: settings.services[service].allowed_cidrs
        for service, group in service_groups(settings).items()
        if group in present
    }
    for group, allowed in networks.items():
        for network in allowed:
            for number, what in ((HTTP, "http"), (HTTPS, "https")):
                yield Rule(group=group, direction="ingress", what=what, port=number, network=network)


def _registry_rules(settings: StackSettings, present: set[str]) -> Iterator[Rule]:
    """Who reaches the stack's own registry."""
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


def is_ipv4(network: str) -> bool:
    """Whether a network is one of IPv4."""
    return ipaddress.ip_network(network).version == 4
