"""The list of all checks of `slip verify`: the title of each, its function, and what it looks at."""

from collections.abc import Callable
from dataclasses import dataclass

from cli.running import certificates, disk
from cli.running.stack import RunningStack
from cli.verify import engine, host, registry, service


@dataclass(frozen=True)
class Check:
    """A check: one line of the table for each of its subjects."""

    title: str
    look: Callable[[RunningStack, str], str]
    """Returns what was found, as `Warned` for a warning; raises Failed, CommandError or a connection's error."""
    subjects: Callable[[RunningStack], list[str]]
    """What the check looks at, one after another."""


def _registry_in(*modes: str) -> Callable[[RunningStack], list[str]]:
    return lambda running: ["registry"] if running.registry_mode in modes else []


def _services_in(*modes: str) -> Callable[[RunningStack], list[str]]:
    return lambda running: running.services if running.registry_mode in modes else []


def _registry_with_ca(running: RunningStack) -> list[str]:
    # An external registry may have a certificate that every machine trusts.
    has_ca = running.registry_mode != "insecure" and running.outputs["registryCaCertificate"]
    return ["registry"] if has_ca else []


def _registry_with_client_certificates(running: RunningStack) -> list[str]:
    return ["registry"] if running.asks_for_client_certificates else []


def _metrics(running: RunningStack) -> list[str]:
    # On other platforms they answer in the hosts' private network only.
    url = str(running.outputs.get("registryMetricsUrl", ""))
    return [url] if url and running.outputs.get("platform") == "local" else []


CHECKS = (
    Check("the registry speaks plain HTTP", registry.speaks_plain_http, _registry_in("insecure")),
    Check("/v2/ with account answers {}", registry.answers_with_account, _registry_in("insecure")),
    Check("/v2/ with account answers", registry.answers_with_account, _registry_in("external")),
    Check("/v2/ with CA and account answers {}", registry.answers_with_account, _registry_in("own")),
    Check("/v2/ without the CA is an x509 error", registry.refuses_without_ca, _registry_with_ca),
    Check("/v2/ without account is 401", registry.refuses_without_account, lambda _: ["registry"]),
    Check(
        "/v2/ refuses no certificate",
        registry.refuses_without_certificate,
        _registry_with_client_certificates,
    ),
    Check(
        "/v2/ refuses a foreign certificate",
        registry.refuses_foreign_certificate,
        _registry_with_client_certificates,
    ),
    Check("the catalogue lists the image", registry.catalogue_lists, _services_in("own", "insecure")),
    Check("the registry has the image", registry.has_image, _services_in("external")),
    Check(
        "pulls by digest",
        engine.pulls_by_digest,
        lambda running: [f"{host} {service}" for host in running.hosts for service in running.services],
    ),
    Check(
        "a missing image says so",
        engine.misses_absent_image,
        lambda running: running.hosts if running.services else [],
    ),
    Check("metrics and health answer", registry.serves_metrics, _metrics),
    Check(
        "the registry's disk has room",
        registry.has_room,
        lambda running: disk.registry_hosts(running.outputs),
    ),
    Check("engine refuses no certificate", engine.refuses_without_certificate, lambda running: running.hosts),
    Check("engine refuses a foreign CA", engine.refuses_foreign_certificate, lambda running: running.hosts),
    Check(
        "the host is as it was set up",
        host.is_as_made,
        lambda running: sorted({part.host for part in running.desired}),
    ),
    Check("answers its health path", service.answers_health, lambda running: running.service_urls),
    Check("the certificate lasts", certificates.inspect, certificates.subjects),
)
