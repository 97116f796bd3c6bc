"""The checks of `slip verify` on the registry: TLS, accounts, client certificates, images, metrics."""

import http.client
import ssl
from dataclasses import replace

from cli.running import stored_image
from cli.running.http import ClientCertificate, Response, get
from cli.running.registry_api import RegistryApi, RegistryEndpoint
from cli.running.stack import Failed, RunningStack, foreign_certificate
from cli.text import first_line, short_digest, size
from cli.verify.found import Warned


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
    return _certificate_refusal(running, foreign_certificate())


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
    digest = running.wanted(service).partition("@")[2]
    with RegistryApi(running.registry_endpoint) as api:
        if api.manifest(repository, digest) is None:
            raise Failed(f"{repository}@{short_digest(digest)} is not there: HTTP 404")
    return f"{repository}@{short_digest(digest)}"


def needed_images(running: RunningStack) -> list[str]:
    """The images that services are to run, and those that hosts serve, as `repository@digest`: hosts may pull them."""
    return sorted(_needed(running))


def _needed(running: RunningStack) -> dict[str, str]:
    """The full name of each, by its name with a short digest."""
    served = {
        name
        for report in running.reports.values()
        for serving in report.services.values()
        for name in serving.images
    }
    wanted = {running.wanted(service) for service in running.services}
    prefix = f"{running.outputs['registryAddress']}/"
    # A host may still serve an image of a registry that the stack used before.
    names = (name.removeprefix(prefix) for name in served | wanted if name.startswith(prefix))
    return {
        f"{repository}@{short_digest(digest)}": f"{repository}@{digest}"
        for repository, _, digest in (name.partition("@") for name in names)
    }


def has_whole_image(running: RunningStack, subject: str) -> str:
    """The registry has an image with its configuration and all its layers, each of the right size."""
    repository, _, digest = _needed(running)[subject].partition("@")
    with RegistryApi(running.registry_endpoint) as api:
        image = stored_image.look(api, repository, digest)
    if not image.has_manifest:
        raise Failed("the registry does not have its manifest: HTTP 404")
    if image.lacking:
        count = f"{len(image.lacking)} of its {image.blobs} blobs"
        raise Failed(f"the registry does not have {count}, such as {short_digest(image.lacking[0])}")
    return f"{image.blobs} blobs, {size(image.size)}"


def serves_metrics(_: RunningStack, url: str) -> str:
    """The registry's metrics and health answer on their private port."""
    response = get(url)
    if response.status != http.client.OK or "registry_http_requests_total" not in response.body:
        raise Failed(_seen(response))
    health = get(url.removesuffix("/metrics") + "/debug/health")
    if (health.status, health.body.strip()) != (http.client.OK, "{}"):
        raise Failed(f"health: {_seen(health)}")
    return "metrics, and health {}"


def _seen(response: Response) -> str:
    return f"HTTP {response.status}: {first_line(response.body)}"


def copies(running: RunningStack) -> list[str]:
    """The base images that the registry keeps copies of, as they are configured."""
    return sorted(running.outputs.get("mirror") or {})


def keeps_copy(running: RunningStack, image: str) -> str:
    """The tag of a base image's copy still names the image that was copied, by the digest in the state.

    Builds use the digest. People pull the tag, and whoever may push can move it.
    """
    name, _, digest = str(running.outputs["mirror"][image]).partition("@")
    repository, tag = name.partition("/")[2], image.partition("@")[0].rpartition(":")[2]
    with RegistryApi(running.registry_endpoint) as api:
        if api.manifest(repository, digest) is None:
            raise Failed(f"{repository}@{short_digest(digest)} is not there: HTTP 404")
        tagged = api.manifest(repository, tag)
    if tagged is None:
        raise Failed(f"{repository}:{tag} is not there: HTTP 404")
    if tagged[0] != digest:
        raise Failed(
            f"{repository}:{tag} is {short_digest(tagged[0])}, not {short_digest(digest)}: someone pushed it"
        )
    return f"{repository}:{tag} is {short_digest(digest)}"
