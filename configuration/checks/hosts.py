"""Checks of hosts: their roles, their slots, and the registry's port on them."""

import itertools
from collections.abc import Iterator

from configuration.checks.context import Check, Checks, grouped, roles_path
from configuration.hosts import Role
from configuration.problems import Problem, words


def roles(checks: Checks) -> Iterator[Problem]:
    """Each role that the stack needs has a host, and only `app` and `edge` have more than one."""
    settings = checks.settings
    needed: list[Role] = [] if settings.registry.external else ["registry"]
    if settings.services or not checks.is_valid("services"):
        builds = not settings.services or settings.built_services or not checks.is_valid("services")
        needed += ["build", "app"] if builds else ["app"]
    for role in needed:
        if not settings.hosts_with(role) and checks.roles_known:
            # An edge is no app host.
            others = [host for host in settings.hosts if role != "app" or host not in settings.edges]
            yield Problem(
                ("hosts",),
                f"no host has the role {role}",
                f"Add {role} to the roles of one host: {words(map(roles_path, others or settings.hosts))}.",
            )
    single: tuple[Role, ...] = ("registry", "build")
    for role in single:
        if len(hosts := settings.hosts_with(role)) > 1:
            yield Problem(
                ("hosts",),
                f"{len(hosts)} hosts have the role {role}: {words(hosts)}",
                f"Keep {role} in the roles of only one of them.",
            )


def edges(checks: Checks) -> Iterator[Problem]:
    """An edge has app hosts behind it, and is none itself: both would need ports 80 and 443 of one host."""
    settings = checks.settings
    if not checks.roles_known:
        return
    for name in settings.edges:
        if "app" in settings.hosts[name].roles:
            yield Problem(
                ("hosts", name, "roles"),
                "edge and app on one host: the proxy of each needs its ports 80 and 443",
                f"Keep one of the two in {roles_path(name)}.",
                ", ".join(settings.hosts[name].roles),
            )
    if settings.edges and not settings.hosts_with("app") and not settings.services:
        yield Problem(
            ("hosts", settings.edges[0], "roles"),
            "an edge without a host behind it",
            "Give another host the role app, or leave out edge.",
            ", ".join(settings.hosts[settings.edges[0]].roles),
        )


def slots(checks: Checks) -> Iterator[Problem]:
    """On this machine each host has a slot, and so ports, of its own."""
    settings = checks.settings
    if not checks.on_this_machine:
        return
    for name in settings.hosts:
        if checks.is_valid("hosts", name, "slot") and settings.slot(name) > 99:
            yield Problem(
                ("hosts", name, "slot"),
                f"the number at the end of the host's name, {settings.slot(name)}, is not a slot",
                "Set slot to a whole number from 0 to 99 that no other host has.",
            )
    for slot, group in grouped(checks.placed_hosts(), settings.slot):
        if len(group) > 1:
            free = next(n for n in itertools.count() if n not in map(settings.slot, settings.hosts))
            yield Problem(
                ("hosts", group[-1], "slot"),
                f"{words(group)} have the same slot, and so the same ports on 127.0.0.1",
                f"Set a free slot, such as {free}.",
                slot,
            )


def registry_port(checks: Checks) -> Iterator[Problem]:
    """Nothing else listens on the registry's port, on its host or on this machine."""
    settings = checks.settings
    if not (checks.is_valid("registry", "port") and checks.is_valid("platform") and checks.roles_known):
        return
    port = settings.registry_port
    for host in settings.hosts_with("registry"):
        within = checks.ports_within(host)
        if port in within:
            yield Problem(
                ("registry", "port"),
                f"{within[port]} uses that port on {host}",
                "Set another port, such as 5000.",
                port,
            )
    for host in checks.placed_hosts() if checks.on_this_machine else ():
        for other, what in settings.published_ports(host).items():
            if other == port:
                yield Problem(
                    ("registry", "port"),
                    f"{what} of {host} uses that port on 127.0.0.1",
                    f"Set another port, or another slipway:hosts.{host}.slot.",
                    port,
                )


CHECKS: tuple[Check, ...] = (roles, edges, slots, registry_port)
