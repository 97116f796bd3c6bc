"""What the settings of the registry mean together with the others. No Pulumi, no network."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configuration.problems import Problem

if TYPE_CHECKING:
    from configuration.checks import Checks

SHOWS_NO_CERTIFICATE = 29
"""From this Docker Engine on new hosts keep images in containerd's store, and what pulls into that and pushes from it
shows registries no client certificate: moby's issue 51662, which is open."""


def registry_problems(checks: "Checks") -> Iterator[Problem]:
    """Every mistake of this kind in a configuration."""
    if checks.whole("registry"):
        yield from _insecure(checks)
        yield from _metrics_port(checks)
        yield from _client_certificates(checks)


def _insecure(checks: "Checks") -> Iterator[Problem]:
    """Plain HTTP is for a machine of one's own, and for nothing that matters."""
    settings = checks.settings
    if not settings.registry.insecure:
        return
    if settings.protect and checks.whole("protect"):
        yield Problem(
            ("registry", "insecure"),
            "a protected stack's registry has to speak TLS",
            "Take it out. slipway:protect says that this stack matters.",
            True,
        )
    if settings.platform.kind != "local" and checks.whole("platform"):
        yield Problem(
            ("registry", "insecure"),
            f"on the platform {settings.platform.kind} passwords and images would go over networks that others share",
            "Take it out. Plain HTTP is for trying out on the platform local.",
            True,
        )


def _client_certificates(checks: "Checks") -> Iterator[Problem]:
    settings, version = checks.settings, checks.settings.platform.engine_version
    location = ("registry", "clientCertificates")
    if not settings.registry.client_certificates:
        return
    if settings.registry.insecure:
        yield Problem(
            location,
            "a registry that speaks plain HTTP (registry.insecure) can ask for no certificate",
            "Leave out one of the two.",
            True,
        )
    if version and int(version.partition(".")[0]) >= SHOWS_NO_CERTIFICATE:
        yield Problem(
            location,
            f"Docker Engine {version} (platform.engineVersion) shows a registry no client certificate, "
            "see https://github.com/moby/moby/issues/51662",
            "Set an engineVersion of Docker Engine 28, or leave clientCertificates out.",
            True,
        )


def _metrics_port(checks: "Checks") -> Iterator[Problem]:
    settings, port = checks.settings, checks.settings.registry.metrics_port
    if port is None or not (checks.whole("platform") and checks.roles_known):
        return
    taken = {settings.registry_port: "the registry itself"}
    for host in settings.hosts_with("registry"):
        taken |= checks.ports_within(host)
    if checks.on_this_machine:
        for host in checks.placed_hosts():
            taken |= {number: f"{what} of {host}" for number, what in settings.published_ports(host).items()}
    if port in taken:
        yield Problem(
            ("registry", "metricsPort"),
            f"{taken[port]} has that port",
            "Set another, such as 5001.",
            port,
        )
