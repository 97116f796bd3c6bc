"""Checks of the platform: no settings of another platform, and on AWS what a stack there needs."""

import ipaddress
import itertools
import os
from collections.abc import Iterator

from configuration.address_pools import overlapping
from configuration.aws import DISTRIBUTIONS, partition_of
from configuration.base import Settings, platform_of
from configuration.checks.context import Check, Checks
from configuration.platform import OWN_SUBNETS
from configuration.problems import Location, Problem, path_of, words

DOCKER_BRIDGE = ipaddress.IPv4Network("172.17.0.0/16")
"""The default network of every Docker Engine's containers."""
DOCUMENTATION = tuple(map(ipaddress.IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))
"""Networks that are reserved for documentation (RFC 5737)."""


def marked_settings(checks: Checks) -> Iterator[Problem]:
    """No setting is set that is marked for another platform."""
    if checks.is_valid("platform", "kind"):
        yield from _marked(checks.settings, (), checks.settings.platform.kind)


def _marked(model: Settings, location: Location, kind: str) -> Iterator[Problem]:
    for name, field in type(model).model_fields.items():
        if name not in model.model_fields_set:
            continue
        here, value = (*location, field.alias or name), getattr(model, name)
        other = platform_of(field)
        if other not in (None, kind):
            yield Problem(
                here,
                f"a setting of the platform {other}, but this stack's is {kind}",
                f"Leave it out, or set slipway:platform.kind to {other}.",
            )
        elif isinstance(value, Settings):
            yield from _marked(value, here, kind)
        elif isinstance(value, dict):
            for key, entry in value.items():
                if isinstance(entry, Settings):
                    yield from _marked(entry, (*here, key), kind)


def aws(checks: Checks) -> Iterator[Problem]:
    """On AWS the required settings are set, and AWS can do what the others ask for."""
    if checks.is_valid("platform", "kind") and checks.settings.platform.kind == "aws":
        for check in _ON_AWS:
            yield from check(checks)


def address_pools(checks: Checks) -> Iterator[Problem]:
    """The networks of containers lie apart from those that the settings name, and from each other."""
    settings, location = checks.settings, ("platform", "addressPools")
    if not checks.is_valid("platform"):
        return
    pools = [ipaddress.ip_network(text) for text in settings.platform.address_pools]
    for index, pool in enumerate(pools):
        if other := overlapping(pool, pools[:index]):
            yield Problem((*location, index), f"overlaps {other}", "Leave out one of the two.", str(pool))
        for where, networks in settings.known_networks().items():
            if (clash := overlapping(pool, networks)) and checks.is_valid(*where):
                yield Problem(
                    (*location, index),
                    f"overlaps {clash} ({path_of(where)}), whose machines would get no answer",
                    "Write a network that nobody uses, such as 172.28.0.0/16.",
                    str(pool),
                )
    for index, network in enumerate(settings.known_networks()["platform", "adminCidrs"]):
        if checks.is_valid("platform", "adminCidrs") and overlapping(network, [DOCKER_BRIDGE]):
            yield Problem(
                ("platform", "adminCidrs", index),
                f"overlaps {DOCKER_BRIDGE}, which a new Docker Engine takes for its containers, so that a new host "
                "could not answer",
                "Reach the hosts from another network, or by a public address.",
                str(network),
            )


CHECKS: tuple[Check, ...] = (marked_settings, aws, address_pools)


def _required(checks: Checks) -> Iterator[Problem]:
    settings = checks.settings
    if settings.platform.region is None and checks.is_valid("platform", "region"):
        yield Problem(("platform", "region"), "missing", "Set it, such as eu-central-1.")
    if not settings.platform.admin_cidrs and checks.is_valid("platform", "adminCidrs"):
        yield Problem(
            ("platform", "adminCidrs"),
            "missing: Slipway could not reach the hosts to set them up",
            "Set it to the networks that you connect from, such as [203.0.113.7/32].",
        )


def _admins(checks: Checks) -> Iterator[Problem]:
    """The example in a new stack's file has to be replaced: with it, `up` would wait for hosts that it cannot reach."""
    settings = checks.settings
    if settings.platform.endpoint or "AWS_ENDPOINT_URL" in os.environ:
        return  # an emulation: its hosts are on this machine
    for index, text in enumerate(settings.platform.admin_cidrs):
        network = ipaddress.ip_network(text)
        if isinstance(network, ipaddress.IPv4Network) and any(map(network.subnet_of, DOCUMENTATION)):
            yield Problem(
                ("platform", "adminCidrs", index),
                "a network for documentation, which no machine is in",
                "Write your own: `curl https://checkip.amazonaws.com` prints your address.",
                text,
            )


def _network(checks: Checks) -> Iterator[Problem]:
    settings = checks.settings
    network, location = settings.platform.network, ("platform", "network")
    if not checks.is_valid(*location):
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
        yield Problem(location, f"{words(named)} each name a network", "Set only one of them.")
    if network.cidr is not None:
        cidr = ipaddress.ip_network(network.cidr)
        where, value = (*location, "cidr"), network.cidr
        if not isinstance(cidr, ipaddress.IPv4Network) or not cidr.is_private:
            yield Problem(where, "not a private IPv4 network", "Write one such as 10.83.0.0/22.", value)
        elif not 16 <= cidr.prefixlen <= 26:
            yield Problem(
                where,
                "too large or too small for a VPC with two subnets",
                "Write one from /16 to /26, such as 10.83.0.0/22.",
                value,
            )
        elif cidr.overlaps(DOCKER_BRIDGE):
            yield Problem(
                where,
                f"overlaps {DOCKER_BRIDGE}, which every Docker Engine uses for its containers",
                "Write one such as 10.83.0.0/22.",
                value,
            )
    if settings.platform.connect == "private" and not network.subnets:
        yield Problem(
            ("platform", "connect"),
            "hosts without public addresses in the stack's own network could not be reached",
            f"Set {path_of((*location, 'subnets'))} to subnets that your VPN reaches, or connect to public.",
            "private",
        )


def _subnets(checks: Checks) -> Iterator[Problem]:
    settings = checks.settings
    count = len(settings.platform.network.subnets) or OWN_SUBNETS
    for name, host in settings.hosts.items():
        location = ("hosts", name, "subnet")
        if host.subnet is not None and host.subnet > count and checks.is_valid("platform", "network"):
            yield Problem(
                location,
                f"the network has {count} subnets",
                f"Set a whole number from 1 to {count}.",
                host.subnet,
            )


def _architectures(checks: Checks) -> Iterator[Problem]:
    """App hosts have the build host's architecture, since an image runs on the architecture that it was built on."""
    settings = checks.settings
    build = settings.build_host
    if build is None or not _types_known(checks):
        return
    built = settings.architecture(build)
    for host in settings.hosts_with("app"):
        if settings.architecture(host) != built:
            yield Problem(
                ("hosts", host, "type"),
                f"{settings.architecture(host)}, but the build host {build} is a "
                f"{settings.instance_type(build)}: {built}",
                f"Give {build} and all app hosts instance types of one architecture.",
                settings.instance_type(host),
            )
    for name, build_settings in settings.built_services.items():
        wanted = build_settings.platform
        if wanted is not None and wanted != f"linux/{built}":
            yield Problem(
                ("services", name, "build", "platform"),
                f"the hosts are linux/{built}",
                "Leave it out, or give the hosts instance types of that architecture.",
                wanted,
            )


def _types_known(checks: Checks) -> bool:
    settings = checks.settings
    return checks.is_valid("platform", "instanceType") and all(
        checks.is_valid("hosts", name, key) for name in settings.hosts for key in ("type", "roles")
    )


def _distributions(checks: Checks) -> Iterator[Problem]:
    """Each host's distribution has images in the region, and the engine's version that is asked for."""
    settings = checks.settings
    region, told = settings.platform.region, set[Location]()
    for name, host in settings.hosts.items():
        if not checks.is_valid("hosts", name) or not checks.is_valid("platform"):
            continue
        distribution = settings.distribution(name)
        where: Location = ("hosts", name) if host.distribution else ("platform",)
        partition = partition_of(region or "")
        if partition not in distribution.partitions and (*where, "distribution") not in told:
            told.add((*where, "distribution"))
            fitting = [each.name for each in DISTRIBUTIONS.values() if partition in each.partitions]
            yield Problem(
                (*where, "distribution"),
                f"it has no images in {region}, which is in AWS's partition {partition}",
                f"Set it to {' or '.join(fitting)}.",
                distribution.name,
            )
        version = settings.engine_version(name)
        place: Location = ("hosts", name) if host.engine_version else ("platform",)
        if version and not distribution.engine_versions and (*place, "engineVersion") not in told:
            told.add((*place, "engineVersion"))
            yield Problem(
                (*place, "engineVersion"),
                f"{name} runs {distribution.name}, which has one version of Docker Engine only, and updates it itself",
                f"Leave it out, or set slipway:hosts.{name}.distribution to another one.",
                version,
            )


def _data_volume(checks: Checks) -> Iterator[Problem]:
    """Where the images are kept is said once."""
    registry = checks.settings.registry
    if not checks.is_valid("registry"):
        return
    volume, snapshot = registry.data_volume, registry.data_snapshot
    for key, value in (("dataVolume", volume), ("dataSnapshot", snapshot)):
        if value and registry.external:
            yield Problem(
                ("registry", key),
                "an external registry keeps no images on a volume of this stack's",
                "Leave it out, or leave out slipway:registry.external.",
                value,
            )
    if volume and snapshot:
        yield Problem(
            ("registry", "dataSnapshot"),
            "slipway:registry.dataVolume names a volume that exists already",
            "Set only one of them.",
            snapshot,
        )
    if volume and "data_size" in registry.model_fields_set:
        yield Problem(
            ("registry", "dataSize"),
            f"{volume} has its own size, since it is not Slipway's",
            "Leave it out. A larger size of the volume is taken up by the next `./slip up`.",
            registry.data_size,
        )


def _zone(checks: Checks) -> Iterator[Problem]:
    settings = checks.settings
    zone, domain = settings.platform.zone, settings.registry.domain
    for name, service in settings.services.items():
        if domain is not None and domain in service.names:
            key = "domain" if service.domain == domain else "domains"
            yield Problem(
                ("services", name, key), "the registry has that domain", "Set another domain.", domain
            )
    if zone is None or not (checks.is_valid("registry") and checks.is_valid("services")):
        return
    if not settings.names_in_zone():
        yield Problem(
            ("platform", "zone"),
            "no domain of the stack is in this zone",
            f"Set slipway:registry.domain or a service's domain to a name such as registry.{zone}, or leave out zone.",
            zone,
        )


def _shared_hosts(checks: Checks) -> Iterator[Problem]:
    """Services on one host allow the same networks, since they share the host's HTTP port."""
    settings = checks.settings
    asked = [name for name, service in settings.services.items() if service.own_check is None]
    for first, second in itertools.combinations(asked, 2):
        shared = [host for host in settings.service_hosts(first) if host in settings.service_hosts(second)]
        known = all(
            checks.is_valid("services", name, key)
            for name in (first, second)
            for key in ("hosts", "allowedCidrs")
        )
        one, other = (set(settings.services[name].allowed_cidrs) for name in (first, second))
        if shared and known and one != other:
            yield Problem(
                ("services", second, "allowedCidrs"),
                f"{first} and {second} share port 80 of {words(shared)}, but allow different networks",
                "Allow the same networks for both, or give each service hosts of its own.",
            )


def _public_ports(checks: Checks) -> Iterator[Problem]:
    """Services with the same public port on different hosts allow the same networks: it opens on all app hosts."""
    settings = checks.settings
    first: dict[tuple[str, int], str] = {}
    for name, service in settings.services.items():
        if not all(checks.is_valid("services", name, key) for key in ("ports", "allowedCidrs")):
            continue
        for port in service.ports.published:
            other = first.setdefault((port.protocol, port.host), name) if port.is_public else name
            if set(settings.services[other].allowed_cidrs) != set(service.allowed_cidrs):
                yield Problem(
                    ("services", name, "allowedCidrs"),
                    f"{other} has the public port {port.host}, too, but allows different networks; and a port opens "
                    "on all app hosts",
                    "Allow the same networks for both, or publish one of them by another port.",
                )


_ON_AWS: tuple[Check, ...] = (
    _required,
    _admins,
    _network,
    _subnets,
    _architectures,
    _distributions,
    _data_volume,
    _zone,
    _shared_hosts,
    _public_ports,
)
