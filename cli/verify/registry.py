"""The checks of `slip verify` on the registry: TLS, accounts, client certificates, images, metrics, disk."""

import http.client
import ssl
from dataclasses import replace

from cli.running import disk, fleet
from cli.running.http import ClientCertificate, Response, get
from cli.running.registry_api import RegistryApi, RegistryEndpoint
from cli.running.stack import Failed, RunningStack
from cli.text import first_line, size


class Warned(str):
    """What a check found that passes, but will fail soon, or is allowed for trying out only."""


def _ask(endpoint: RegistryEndpoint) -> Response:
    with RegistryApi(endpoint) as api:
        return api.ask("/v2/")


def answers_with_account(running: RunningStack, _: str) -> str:
    """The registry answers `/v2/` with an empty object; external registries may answer with any body."""
    response = _ask(running.registry_endpoint)
    is_external = running.registry_mode == "external"
    if response.status != http.client.OK or (not is_external and response.body.strip() != "{}"):
        raise Failed(_seen(response))
    return "HTTP 200" if is_external else "{}"


def refuses_without_ca(running: RunningStack, _: str) -> str:
    """A client without the stack's CA does not trust the registry."""
    try:
        response = _ask(replace(running.registry_endpoint, ca=""))
    except ssl.SSLCertVerificationError as error:
        return f"x509: {error.verify_message}"
    raise Failed(f"a client without the stack's CA trusts the certificate (HTTP {response.status})")


def speaks_plain_http(running: RunningStack, _: str) -> str:
    """The registry speaks plain HTTP, as configured; each run warns about it."""
    try:
        _ask(running.registry_endpoint)
    except OSError as error:
        raise Failed(f"it does not: {error}") from error
    return Warned("for trying out only: anyone on the network path can read passwords and images")


def refuses_without_account(running: RunningStack, _: str) -> str:
    """The registry refuses a client without an account."""
    response = _ask(replace(running.registry_endpoint, account=None))
    if response.status != http.client.UNAUTHORIZED:
        raise Failed(_seen(response))
    return "HTTP 401"


def refuses_without_certificate(running: RunningStack, _: str) -> str:
    """The registry refuses a client with CA and account, but without a client certificate."""
    return _certificate_refusal(running, None)


def refuses_foreign_certificate(running: RunningStack, _: str) -> str:
    """The registry refuses a client whose certificate comes from another authority."""
    return _certificate_refusal(running, running.foreign_certificate)


def _certificate_refusal(running: RunningStack, certificate: ClientCertificate | None) -> str:
    """How the registry refuses a client with this certificate. A client that does not trust it proves nothing."""
    try:
        response = _ask(replace(running.registry_endpoint, client_certificate=certificate))
    except ssl.SSLCertVerificationError as error:
        raise Failed(f"the registry's own certificate is not trusted: {error.verify_message}") from error
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
        return first_line(getattr(error, "reason", None) or str(error))
    raise Failed(f"it answered: HTTP {response.status}")


def catalogue_lists(running: RunningStack, service: str) -> str:
    """The registry's catalogue has the repository of a service's image."""
    repository = running.repository(service)
    with RegistryApi(running.registry_endpoint) as api:
        if repository not in api.repositories():
            raise Failed(f"{repository} is not in the catalogue")
    return repository


def has_image(running: RunningStack, service: str) -> str:
    """The registry has a service's image by its digest. External registries need not offer a catalogue."""
    repository = running.repository(service)
    digest = str(running.outputs["images"][service]).partition("@")[2]
    with RegistryApi(running.registry_endpoint) as api:
        if api.manifest(repository, digest) is None:
            raise Failed(f"{repository}@{digest[:19]} is not there: HTTP 404")
    return f"{repository}@{digest[:19]}"


def serves_metrics(_: RunningStack, url: str) -> str:
    """The registry's metrics and health answer on their private port."""
    response = get(url)
    if response.status != http.client.OK or "registry_http_requests_total" not in response.body:
        raise Failed(_seen(response))
    health = get(url.removesuffix("/metrics") + "/debug/health")
    if (health.status, health.body.strip()) != (http.client.OK, "{}"):
        raise Failed(f"health: {_seen(health)}")
    return "metrics, and health {}"


def has_room(running: RunningStack, host: str) -> str:
    """No file system of a host is full. A registry on a full disk refuses pushes, and an engine refuses pulls."""
    report = fleet.ask(running.outputs, [host])[host]
    if not report.answers or not report.disks:
        raise Failed(report.silence or "the host does not say how full its disks are")
    fullest = min(report.disks, key=lambda one: min(one.free_share, one.free_inodes_share))
    seen = f"{fullest.path}: {fullest.free_share:.0%} free, {size(fullest.free)}"
    if fullest.free_inodes_share < disk.WARNING_SHARE:
        seen += f"; {fullest.free_inodes_share:.0%} of its inodes"
    if fullest.is_full:
        raise Failed(f"full: {seen}")
    return Warned(f"filling up: {seen}") if fullest.is_filling_up else seen


def _seen(response: Response) -> str:
    return f"HTTP {response.status}: {first_line(response.body)}"
