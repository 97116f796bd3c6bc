"""What the platform's kind means for all other settings: what it needs, and what belongs to another kind."""

import ipaddress
import itertools
import os
from collections.abc import Callable, Iterator

from pydantic import BaseModel

from configuration.problems import Location, Problem, path_of, words
from configuration.settings import StackSettings

Whole = Callable[..., bool]
"""Whether nothing at, above or below a place was taken out, since it was wrong."""

Keys = dict[str, tuple[str, ...]]
"""For each kind of platform, the settings that it alone reads."""

PLATFORM_KEYS: Keys = {
    "local": ("port_offset",),
    "aws": (
        "region",
        "admin_cidrs",
        "network",
        "connect",
        "distribution",
        "instance_type",
        "root_size",
        "engine_version",
        "ssh_timeout",
        "zone",
        "endpoint",
    ),
}
HOST_KEYS: Keys = {
    "local": ("slot", "memory"),
    "aws": ("type", "root_size", "distribution", "engine_version", "subnet"),
}
REGISTRY_KEYS: Keys = {"aws": ("allowed_cidrs", "domain", "data_size", "snapshot_days", "metrics_cidrs")}
SERVICE_KEYS: Keys = {"aws": ("allowed_cidrs",)}
"""Settings that mean something on one kind of platform only."""

DOCKER_BRIDGE = ipaddress.IPv4Network("172.17.0.0/16")
"""What every Docker Engine takes for its containers, unless told otherwise."""
DOCUMENTATION = tuple(map(ipaddress.IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))
"""Networks that only stand in documentation (RFC 5737)."""
OWN_SUBNETS = 2
"""Subnets of a stack's own network, each in a zone of its own."""


def platform_problems(settings: StackSettings, whole: Whole) -> Iterator[Problem]:
    """Every mistake found."""
    if not whole("platform", "kind"):
        return
    yield from _foreign(settings)
    if settings.platform.kind == "aws":
        for check in (_required, _admins, _network, _subnets, _architectures, _zone, _shared_hosts):
            yield from check(settings, whole)


def _foreign(settings: StackSettings) -> Iterator[Problem]:
    """What another kind of platform would read, and this one does not."""
    places: list[tuple[Location, BaseModel, Keys]] = [
        (("platform",), settings.platform, PLATFORM_KEYS),
        (("registry",), settings.registry, REGISTRY_KEYS),
    ]
    places += [(("hosts", name), host, HOST_KEYS) for name, host in settings.hosts.items()]
    places += [(("services", name), service, SERVICE_KEYS) for name, service in settings.services.items()]
    kind = settings.platform.kind
    for location, model, keys in places:
        for other, fields in keys.items():
            for field in fields if other != kind else ():
                if field in model.model_fields_set:
                    yield Problem(
                        (*location, type(model).model_fields[field].alias or field),
                        f"a setting of the platform {other}, and this one is {kind}",
                        f"Leave it out, or set slipway:platform.kind to {other}.",
                    )


def _required(settings: StackSettings, whole: Whole) -> Iterator[Problem]:
    if settings.platform.region is None and whole("platform", "region"):
        yield Problem(("platform", "region"), "missing", "Set it, such as eu-central-1.")
    if not settings.platform.admin_cidrs and whole("platform", "adminCidrs"):
        yield Problem(
            ("platform", "adminCidrs"),
            "missing: nobody could reach the hosts to set them up",
            "Set it to the networks that you come from, such as [203.0.113.7/32].",
        )


def _admins(settings: StackSettings, whole: Whole) -> Iterator[Problem]:
    """The example in the stack's file is for reading: hosts that let nobody in would be waited for in vain."""
    if settings.platform.endpoint or "AWS_ENDPOINT_URL" in os.environ:
        return  # no real hosts, and nobody comes from anywhere
    for index, text in enumerate(settings.platform.admin_cidrs):
        network = ipaddress.ip_network(text)
        if isinstance(network, ipaddress.IPv4Network) and any(map(network.subnet_of, DOCUMENTATION)):
            yield Problem(
                ("platform", "adminCidrs", index),
                "a network for examples, from which nobody comes",
                "Write yours: `curl https://checkip.amazonaws.com` tells your address.",
                text,
            )


def _network(settings: StackSettings, whole: Whole) -> Iterator[Problem]:
    network, location = settings.platform.network, ("platform", "network")
    if not whole(*location):
        return
    named = [
        key
        for key, value in (
            ("cidr", network.cidr),
            ("default", network.default),
            ("subnets", network.subnets),
        )
        if value
    ]
    if len(named) > 1:
        yield Problem(location, f"{words(named)} each name a network", "Leave one of them.")
    if network.cidr is not None:
        cidr = ipaddress.ip_network(network.cidr)
        where, value = (*location, "cidr"), network.cidr
        if not isinstance(cidr, ipaddress.IPv4Network) or not cidr.is_private:
            yield Problem(where, "not a private IPv4 network", "Write one such as 10.83.0.0/22.", value)
        elif not 16 <= cidr.prefixlen <= 26:
            yield Problem(
                where,
                "a network that AWS cannot make, or cannot divide",
                "Write one from /16 to /26, such as 10.83.0.0/22.",
                value,
            )
        elif cidr.overlaps(DOCKER_BRIDGE):
            yield Problem(
                where,
                f"meets {DOCKER_BRIDGE}, which every Docker Engine takes for its containers",
                "Write one such as 10.83.0.0/22.",
                value,
            )
    if settings.platform.connect == "private" and not network.subnets:
        yield Problem(
            ("platform", "connect"),
            "nothing leads into or out of the stack's own network without public addresses",
            f"Set {path_of((*location, 'subnets'))} to subnets that your VPN reaches, or connect to public.",
            "private",
        )


def _subnets(settings: StackSettings, whole: Whole) -> Iterator[Problem]:
    count = len(settings.platform.network.subnets) or OWN_SUBNETS
    for name, host in settings.hosts.items():
        location = ("hosts", name, "subnet")
        if host.subnet is not None and host.subnet > count and whole("platform", "network"):
            yield Problem(location, f"there are {count} subnets", f"Set 1 to {count}.", host.subnet)


def _architectures(settings: StackSettings, whole: Whole) -> Iterator[Problem]:
    """An image that one architecture builds does not run on the other."""
    build = settings.build_host
    if build is None or not _types_known(settings, whole):
        return
    built = settings.architecture(build)
    for host in settings.hosts_with("app"):
        if settings.architecture(host) != built:
            yield Problem(
                ("hosts", host, "type"),
                f"{settings.architecture(host)}, and {build}, where images are built, is a "
                f"{settings.instance_type(build)}: {built}",
                f"Give {build} and all app hosts instance types of one architecture.",
                settings.instance_type(host),
            )
    for name, service in settings.services.items():
        wanted = service.build.platform
        if wanted is not None and wanted != f"linux/{built}":
            yield Problem(
                ("services", name, "build", "platform"),
                f"the hosts are linux/{built}",
                "Leave it out, or give the hosts instance types of that architecture.",
                wanted,
            )


def _types_known(settings: StackSettings, whole: Whole) -> bool:
    return whole("platform", "instanceType") and all(
        whole("hosts", name, key) for name in settings.hosts for key in ("type", "roles")
    )


def _zone(settings: StackSettings, whole: Whole) -> Iterator[Problem]:
    zone, domain = settings.platform.zone, settings.registry.domain
    for name, service in settings.services.items():
        if domain is not None and service.domain == domain:
            yield Problem(
                ("services", name, "domain"), "the registry has that name", "Give it another.", domain
            )
    if zone is None or not (whole("registry") and whole("services")):
        return
    if not settings.names_in_zone():
        yield Problem(
            ("platform", "zone"),
            "no name of the stack is in it",
            f"Set slipway:registry.domain or a service's domain to one such as registry.{zone}, or leave it out.",
            zone,
        )


def _shared_hosts(settings: StackSettings, whole: Whole) -> Iterator[Problem]:
    """A host's HTTP port is one for all of its services: who reaches one of them reaches all."""
    for first, second in itertools.combinations(settings.services, 2):
        shared = [host for host in settings.service_hosts(first) if host in settings.service_hosts(second)]
        known = all(
            whole("services", name, key) for name in (first, second) for key in ("hosts", "allowedCidrs")
        )
        one, other = (set(settings.services[name].allowed_cidrs) for name in (first, second))
        if shared and known and one != other:
            yield Problem(
                ("services", second, "allowedCidrs"),
                f"{first} and {second} share the port 80 of {words(shared)}, but not who may reach it",
                "Give both the same, or hosts of their own.",
            )
