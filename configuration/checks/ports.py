"""Checks of the ports that services have on hosts: nothing else listens there."""

from collections.abc import Iterator

from configuration.checks.context import ENGINE, HTTP, HTTPS, SSH, Check, Checks
from configuration.ports import PublishedPort
from configuration.problems import Location, Problem, path_of, words

HOST_PORTS = frozenset({SSH, HTTP, HTTPS, ENGINE})
"""Ports of every app host."""
LARGEST = 65535


def private_ports(checks: Checks) -> Iterator[Problem]:
    """Each private port is one service's, on hosts on which nothing else listens there."""
    settings = checks.settings
    first: dict[int, str] = {}
    for name, service in settings.services.items():
        for index, port in enumerate(service.ports.private):
            location = ("services", name, "ports", "private", index)
            if port in first:
                yield Problem(
                    location,
                    f"{first[port]} has it, and every service finds both by this number",
                    f"Let {name} listen on another port.",
                    port,
                )
            elif port in {
                *HOST_PORTS,
                settings.registry_port,
                settings.registry.metrics_port,
                settings.proxy.metrics_port,
            }:
                yield Problem(
                    location, "the hosts themselves listen there", f"Let {name} listen on another port.", port
                )
            first.setdefault(port, name)
        hosts = settings.service_hosts(name)
        if service.ports.private and len(hosts) > 1 and checks.is_valid("services", name, "hosts"):
            yield Problem(
                ("services", name, "ports", "private"),
                f"it runs on {words(hosts)}, and its name leads to one host",
                f"Set {path_of(('services', name, 'hosts'))} to one host.",
            )


def metrics_port(checks: Checks) -> Iterator[Problem]:
    """The proxies' metrics have a port of the host on which nothing else listens."""
    settings, port = checks.settings, checks.settings.proxy.metrics_port
    taken: set[int | None] = {*HOST_PORTS}
    if checks.is_valid("platform") and checks.roles_known:
        taken |= {settings.registry_port, settings.registry.metrics_port}
    if port and port in taken:
        yield Problem(
            ("proxy", "metricsPort"),
            "the hosts themselves listen there",
            "Set another port, such as 9101.",
            port,
        )


def published_ports(checks: Checks) -> Iterator[Problem]:
    """Each port that a service publishes is free on its hosts, and a public one leads to nothing else on any host."""
    first: dict[tuple[str, int, str], str] = {}
    taken = _on_hosts(checks)
    for name, location, port, text in _published(checks):
        if port.protocol == "tcp" and port.host in taken:
            yield Problem(location, taken[port.host], "Publish it by another port of the hosts.", text)
            continue
        hosts = checks.settings.service_hosts(name)
        both = [host for host in hosts if (port.protocol, port.host, host) in first]
        if both and not checks.hosts_replaced:
            yield Problem(
                location,
                f"{first[port.protocol, port.host, both[0]]} has the same port of {words(both)}",
                "Publish it by another port of the hosts, or give the services different hosts.",
                text,
            )
        for host in hosts:
            first.setdefault((port.protocol, port.host, host), path_of(location))


def on_this_machine(checks: Checks) -> Iterator[Problem]:
    """On the platform `local` a public port of a host has a port of 127.0.0.1 that nothing else has."""
    settings = checks.settings
    if not checks.on_this_machine or not checks.is_valid("platform") or not checks.roles_known:
        return
    placed = checks.placed_hosts()
    taken = {
        ("tcp", number): f"{what} of {host}"
        for host in placed
        for number, what in settings.published_ports(host).items()
    }
    if settings.registry_host:
        taken["tcp", settings.registry_port] = "the registry"
    if settings.registry.metrics_port:
        taken["tcp", settings.registry.metrics_port] = "the registry's metrics"
    for name, location, port, text in _published(checks):
        for host in settings.service_hosts(name) if port.is_public else ():
            number = settings.local_port(host, port.host) if host in placed else 0
            here = f"{number} is its port of 127.0.0.1 for {host}"
            if number > LARGEST:
                yield Problem(location, f"{here}, which is none", "Publish it by a smaller port.", text)
            elif holder := taken.get((port.protocol, number)):
                yield Problem(
                    location,
                    f"{here}, which {holder} has",
                    f"Publish it by another port, or set another {path_of(('hosts', host, 'slot'))}.",
                    text,
                )
            elif number:
                taken[port.protocol, number] = path_of(location)


def _published(checks: Checks) -> Iterator[tuple[str, Location, PublishedPort, str]]:
    """The ports that services publish: the service, the setting's location, the port, and the setting."""
    for name, service in checks.settings.services.items():
        if checks.is_valid("services", name, "ports") and checks.is_valid("services", name, "hosts"):
            for key, index, port in service.ports.located():
                text = getattr(service.ports, key)[index]
                yield name, ("services", name, "ports", key, index), port, text


def _on_hosts(checks: Checks) -> dict[int | None, str]:
    """What has a TCP port of hosts, as a clause. A public port opens on all app hosts, so all of them count."""
    settings = checks.settings
    found: dict[int | None, str] = {
        port: f"the private port of {service}, which all hosts have"
        for port, service in settings.private_ports.items()
    }
    for host, its in settings.hosts.items():
        what = f"{path_of(('hosts', host, 'openToContainers'))} names it for a program of the host"
        found |= dict.fromkeys(its.open_to_containers, what)
    if settings.registry_host:
        found[settings.registry_port] = "the registry listens there"
    found[settings.registry.metrics_port] = "the registry's metrics are there"
    found[settings.proxy.metrics_port] = "the proxies' metrics are there"
    return found | {
        SSH: "SSH listens there",
        HTTP: "the hosts' proxy listens there",
        HTTPS: "the hosts' proxy listens there",
        ENGINE: "Docker Engine listens there",
    }


CHECKS: tuple[Check, ...] = (private_ports, metrics_port, published_ports, on_this_machine)
