"""What `slip verify` checks on a running stack: the guides' own checks, one small function each.

A check takes the running stack and what it looks at (a host, a service), and returns what it saw or raises `Failed`.
"""

import http.client
import json
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cli.errors import CommandError

if TYPE_CHECKING:
    from docker import APIClient

PATIENCE = 10
"""Seconds that an answer may take. A pull may take longer."""

PULL_PATIENCE = 300
"""Seconds that a pull may be silent."""

MISSING_TAG = "slipway-verify-missing"
"""A tag that no image has."""


class Failed(Exception):
    """A check that did not hold; the text says what was seen instead."""


class Warned(str):
    """What was seen where a check holds still, and will not for long."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Running:
    """A running stack, from its outputs."""

    outputs: Mapping[str, Any]
    least: timedelta = timedelta()
    """How long each certificate has to be valid at least."""

    @classmethod
    def of(cls, outputs: Mapping[str, Any], least: timedelta = timedelta()) -> "Running":
        """The stack with these outputs.

        Raises:
            CommandError: it has none of the outputs that a running stack has.

        """
        if missing := sorted(_NEEDED - outputs.keys()):
            raise CommandError(
                f"the stack does not say {', '.join(missing)}: it is not up, or not wholly",
                "Run `./slip up` first.",
                status=1,
            )
        return cls(outputs, least)

    @property
    def registry(self) -> tuple[str, int]:
        """Where people reach the registry: address and port."""
        return address(self.outputs["registryPublicAddress"])

    @property
    def mode(self) -> str:
        """How the stack comes by its registry, as in `settings.py`: `own`, `insecure` or `external`."""
        return str(self.outputs.get("registryMode", "own"))

    @property
    def account(self) -> tuple[str, str]:
        """Name and password of one of the registry's accounts."""
        passwords = self.outputs["registryPasswords"]
        names = [name for name in self.outputs["registryAccounts"] if name in passwords]
        if not names:
            raise Failed("no account of the registry has a password")
        return names[0], passwords[names[0]]

    @property
    def asks_for_certificates(self) -> bool:
        """Whether the registry asks its clients for a certificate."""
        return bool(self.outputs.get("registryClientCertificates"))

    @property
    def identity(self) -> "Identity | None":
        """The certificate and key of `account`, where the registry asks for one."""
        return identity_of(self.outputs, self.account[0])

    @property
    def hosts(self) -> list[str]:
        """The names of the hosts."""
        return sorted(self.outputs["hosts"])

    @property
    def services(self) -> list[str]:
        """The names of the services."""
        return sorted(self.outputs["images"])

    @property
    def service_urls(self) -> list[str]:
        """Every service with each of its URLs, `web http://…`."""
        urls = self.outputs["serviceUrls"]
        return [f"{service} {url}" for service in sorted(urls) for url in urls[service]]

    def repository(self, service: str) -> str:
        """The repository of a service's image: `web` of `yard:5000/web@sha256:…`."""
        name = str(self.outputs["images"][service]).partition("@")[0].partition("/")[2]
        return name.partition(":")[0]

    def engine(self, host: str) -> tuple[str, int]:
        """Where a host's engine answers."""
        parts = urlsplit(self.outputs["engineEndpoints"][host])
        return parts.hostname or "", parts.port or 2376

    @contextmanager
    def docker(self, host: str) -> Iterator["APIClient"]:
        """A host's engine, as the stack's own client."""
        from cli.running.engine import ERRORS, connected

        try:
            with connected(
                self.outputs["engineEndpoints"][host],
                ca=self.outputs["engineCaCertificate"],
                certificate=self.outputs["engineClientCertificate"],
                key=self.outputs["engineClientKey"],
                timeout=PULL_PATIENCE,
            ) as client:
                yield client
        except ERRORS as error:
            raise Failed(f"the engine of {host}: {error}") from error

    @cached_property
    def foreign_identity(self) -> tuple[str, str]:
        """A client certificate and its key, PEM, from an authority that nobody trusts."""
        return foreign_client()


Identity = tuple[str, str]
"""A client certificate, with what leads to its authority, and its key: PEM."""


def identity_of(outputs: Mapping[str, Any], account: str) -> Identity | None:
    """What an account shows the registry of the stack with these outputs; None where it is not asked for anything."""
    certificates, keys = (outputs.get(f"registryClient{what}") or {} for what in ("Certificates", "Keys"))
    return (certificates[account], keys[account]) if account in certificates and account in keys else None


_NEEDED = frozenset(
    {
        "registryPublicAddress",
        "registryAddress",
        "registryCaCertificate",
        "registryAccounts",
        "registryPasswords",
        "hosts",
        "engineEndpoints",
        "engineCaCertificate",
        "engineClientCertificate",
        "engineClientKey",
        "images",
        "serviceUrls",
        "serviceHealthPaths",
    }
)


@dataclass(frozen=True)
class Check:
    """One line of the table, or one for each thing it looks at."""

    title: str
    look: Callable[[Running, str], str]
    """Returns what was seen, `Warned` where it is to be seen to, or raises Failed (or an error of the connection)."""
    subjects: Callable[[Running], list[str]]
    """What it looks at, one after another."""


def address(text: str) -> tuple[str, int]:
    """Host and port of `host:port`, where an IPv6 address is in brackets. Docker Hub's API has a name of its own."""
    if text == "docker.io":
        text = "registry-1.docker.io"
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", parts.port or 443


def get(
    url: str,
    context: ssl.SSLContext | None = None,
    account: tuple[str, str] | None = None,
    host: str = "",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """Ask for a URL directly: no proxy, no redirect, no other authority than the context's.

    Args:
        url: what to ask for.
        context: TLS, for https.
        account: name and password.
        host: the name to ask for, if it is not the URL's own.
        headers: more to ask with.

    Raises:
        OSError: no connection, or one that TLS refuses.
        http.client.HTTPException: no HTTP.

    """
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=PATIENCE, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    asked = {**headers, **({"Host": host} if host else {})}
    if account:
        asked["Authorization"] = basic(account)
    try:
        connection.request(
            "GET", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", headers=asked
        )
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode(errors="replace"), dict(answer.headers.items()))
    finally:
        connection.close()


def basic(account: tuple[str, str]) -> str:
    """The header by which an account proves itself."""
    return f"Basic {b64encode(':'.join(account).encode()).decode()}"


def trusting(ca: str = "", identity: Identity | None = None) -> ssl.SSLContext:
    """TLS for a client that trusts one authority (PEM) and no other; without one, nobody.

    Args:
        ca: the authority, or two while one takes over from the other.
        identity: what the client shows of itself, if anything.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        context.load_verify_locations(cadata=ca)
    if identity:
        from cli.running.engine import private_files

        with private_files(*identity) as (certificate, key):
            context.load_cert_chain(certificate, key)
    return context


def known_to_all(ca: str = "") -> ssl.SSLContext:
    """TLS for a client that trusts whom this machine trusts, and one more authority (PEM)."""
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cadata=ca)
    return context


def _registry(
    running: Running,
    path: str,
    *,
    ca: bool = True,
    account: bool = True,
    identity: Callable[[Running], Identity | None] = lambda running: running.identity,
    accept: str = "application/json",
) -> Answer:
    host, port = running.registry
    literal = f"[{host}]" if ":" in host else host
    who = running.account if account else None
    headers = {"Accept": accept}
    if running.mode == "insecure":
        return get(f"http://{literal}:{port}{path}", account=who, headers=headers)
    trusted = running.outputs["registryCaCertificate"] if ca else ""
    context = known_to_all(trusted) if running.mode == "external" else trusting(trusted, identity(running))
    url = f"https://{literal}:{port}{path}"
    answer = get(url, context, who, headers=headers)
    if who and answer.status == http.client.UNAUTHORIZED and running.mode == "external":
        from cli.running.registry_tokens import token

        if own := token(answer, who, context):
            answer = get(url, context, headers={**headers, "Authorization": own})
    return answer


def answers_with_account(running: Running, _: str) -> str:
    """The registry's own welcome: an empty object."""
    answer = _registry(running, "/v2/")
    # What others answer with is their own affair.
    if answer.status != http.client.OK or (running.mode != "external" and answer.body.strip() != "{}"):
        raise Failed(f"HTTP {answer.status}: {_short(answer.body)}")
    return "{}" if running.mode != "external" else "HTTP 200"


def refuses_without_ca(running: Running, _: str) -> str:
    """Who does not know the stack's authority must not trust the registry."""
    try:
        answer = _registry(running, "/v2/", ca=False)
    except ssl.SSLCertVerificationError as error:
        return f"x509: {error.verify_message}"
    raise Failed(f"the certificate was trusted by everybody (HTTP {answer.status})")


def speaks_plain_http(running: Running, _: str) -> str:
    """An insecure registry is worth a warning each time, and no TLS is no failure: the stack asks for it."""
    try:
        _registry(running, "/v2/")
    except OSError as error:
        raise Failed(f"it does not: {error}") from error
    return Warned("for trying out only: whoever listens on the way reads passwords and images")


def refuses_without_account(running: Running, _: str) -> str:
    """Nobody reads without an account."""
    answer = _registry(running, "/v2/", account=False)
    if answer.status != http.client.UNAUTHORIZED:
        raise Failed(f"HTTP {answer.status}: {_short(answer.body)}")
    return "HTTP 401"


def refuses_without_certificate(running: Running, _: str) -> str:
    """With CA and account, nobody comes in without a certificate of the stack's."""
    return _certificate_refusal(running, lambda _: None)


def refuses_foreign_identity(running: Running, _: str) -> str:
    """Nor with one that another authority has signed."""
    return _certificate_refusal(running, lambda running: running.foreign_identity)


def _certificate_refusal(running: Running, identity: Callable[[Running], Identity | None]) -> str:
    """How the registry turns a client away; that it does not trust the registry proves nothing."""
    try:
        answer = _registry(running, "/v2/", identity=identity)
    except ssl.SSLCertVerificationError as error:
        raise Failed(f"the registry's own certificate is not right: {error.verify_message}") from error
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
        return _short(getattr(error, "reason", None) or str(error))
    raise Failed(f"it answered: HTTP {answer.status}")


def catalogue_lists(running: Running, service: str) -> str:
    """The registry's catalogue has the service's repository."""
    wanted, path = running.repository(service), "/v2/_catalog?n=1000"
    while path:
        answer = _registry(running, path)
        if answer.status != http.client.OK:
            raise Failed(f"HTTP {answer.status}: {_short(answer.body)}")
        if wanted in (json.loads(answer.body).get("repositories") or []):
            return wanted
        following = re.match(r"<([^>]+)>;\s*rel=\"?next", answer.headers.get("Link", ""))
        path = following[1] if following else ""
    raise Failed(f"{wanted} is not in the catalogue")


def has_image(running: Running, service: str) -> str:
    """The registry has a service's image, by its digest: someone else's shows nobody its catalogue."""
    digest = str(running.outputs["images"][service]).partition("@")[2]
    kinds = (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
    repository = running.repository(service)
    answer = _registry(running, f"/v2/{repository}/manifests/{digest}", accept=", ".join(kinds))
    if answer.status != http.client.OK:
        raise Failed(f"{repository}@{digest[:19]}: HTTP {answer.status}: {_short(answer.body)}")
    return f"{repository}@{digest[:19]}"


def pulls_by_digest(running: Running, subject: str) -> str:
    """A host pulls a service's image, known by its digest, over TLS that it trusts."""
    host, service = subject.split(" ", 1)
    reference = str(running.outputs["images"][service])
    name, _, digest = reference.partition("@")
    if not digest.startswith("sha256:"):
        raise Failed(f"{reference} has no digest")
    with running.docker(host) as engine:
        lines = _pull(engine, name, digest, running.account)
    if problem := _problem(lines):
        raise Failed(problem)
    return digest[:19]


def misses_absent_image(running: Running, host: str) -> str:
    """A host that asks for an image that is not there is told so, not that it may not."""
    if not running.services:
        raise Failed("the stack has no service whose repository could be asked")
    repository = f"{running.outputs['registryAddress']}/{running.repository(running.services[0])}"
    with running.docker(host) as engine:
        lines = _pull(engine, repository, MISSING_TAG, running.account)
    problem = _problem(lines)
    if not problem:
        raise Failed(f"{repository}:{MISSING_TAG} was pulled")
    if "not found" not in problem and "manifest unknown" not in problem:
        raise Failed(problem)
    return _short(problem)


def _pull(engine: "APIClient", name: str, tag: str, account: tuple[str, str]) -> list[dict[str, Any]]:
    """What the engine says while it pulls; one line with an `error` if it refuses to start."""
    from docker.errors import APIError

    try:
        user, password = account
        credentials = {"username": user, "password": password}
        return list(engine.pull(name, tag=tag, auth_config=credentials, stream=True, decode=True))
    except APIError as error:
        return [{"error": str(error.explanation or error)}]


def _problem(lines: list[dict[str, Any]]) -> str:
    return next((str(line["error"]) for line in lines if line.get("error")), "")


def has_room(running: Running, host: str) -> str:
    """The disk with the registry's data is not full. One that is refuses pushes."""
    from cli.registry.images import size
    from cli.running import disk

    try:
        seen = disk.of_registry(running.outputs, host)
    except CommandError as error:
        raise Failed(str(error)) from error
    told = f"{seen.free_share:.0%} free, {size(seen.free)}"
    if seen.free_inodes_share < disk.WARNING_SHARE:
        told += f"; {seen.free_inodes_share:.0%} of its files"
    if seen.is_full:
        raise Failed(f"full: {told}")
    return Warned(f"fills up: {told}") if seen.fills_up else told


def _registry_hosts(running: Running) -> list[str]:
    from cli.running.disk import registry_hosts

    return registry_hosts(running.outputs)


def refuses_no_certificate(running: Running, host: str) -> str:
    """The engine's API is closed to a client without a certificate."""
    return _engine_refusal(running, host, trusting(running.outputs["engineCaCertificate"]))


def refuses_foreign_certificate(running: Running, host: str) -> str:
    """The engine's API is closed to a client whose certificate comes from another authority."""
    context = trusting(running.outputs["engineCaCertificate"], running.foreign_identity)
    return _engine_refusal(running, host, context)


def _engine_refusal(running: Running, host: str, context: ssl.SSLContext) -> str:
    """How the engine turns a client away: it must be there, with the right certificate, and end the connection.

    In TLS 1.3 a client's handshake ends before the server looks at the client's certificate, so the refusal comes with
    the first answer. A connection that was never accepted proves nothing.
    """
    target = running.engine(host)
    with socket.create_connection(target, timeout=PATIENCE) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=target[0]) as connection:
                connection.sendall(b"GET /version HTTP/1.0\r\n\r\n")
                answer = connection.recv(1024)
        except ssl.SSLCertVerificationError as error:
            raise Failed(f"the engine's own certificate is not right: {error.verify_message}") from error
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
            return _short(getattr(error, "reason", None) or str(error))
    if answer:
        raise Failed(f"it answered: {_short(answer.decode(errors='replace'))}")
    return "connection closed"


def answers_health(running: Running, subject: str) -> str:
    """A service answers its health path on each of its hosts, through the proxy."""
    service, url = subject.split(" ", 1)
    path = running.outputs["serviceHealthPaths"][service]
    # A proxy knows a service with a domain by that name only, wherever the name leads to today.
    domain = running.outputs.get("serviceDomains", {}).get(service, "")
    answer = get(url.rstrip("/") + path, host=domain)
    if answer.status != http.client.OK:
        raise Failed(f"HTTP {answer.status} on {path}: {_short(answer.body)}")
    return f"HTTP 200 on {path}"


def certificates_last(running: Running, subject: str) -> str:
    """A certificate does not end before the next `up` can have renewed it."""
    from cli.running import certificates

    return certificates.inspect(running, subject)


def _certificates(running: Running) -> list[str]:
    from cli.running import certificates

    return certificates.subjects(running)


def tells_metrics(running: Running, url: str) -> str:
    """The registry's metrics and health answer on their private port."""
    answer = get(url)
    if answer.status != http.client.OK or "registry_http_requests_total" not in answer.body:
        raise Failed(f"HTTP {answer.status}: {_short(answer.body)}")
    health = get(url.removesuffix("/metrics") + "/debug/health")
    if (health.status, health.body.strip()) != (http.client.OK, "{}"):
        raise Failed(f"health: HTTP {health.status}: {_short(health.body)}")
    return "metrics, and health {}"


def _registry_alone(_: Running) -> list[str]:
    return ["registry"]


def _registry_in(*modes: str) -> Callable[[Running], list[str]]:
    return lambda running: ["registry"] if running.mode in modes else []


def _services_in(*modes: str) -> Callable[[Running], list[str]]:
    return lambda running: running.services if running.mode in modes else []


def _with_own_authority(running: Running) -> list[str]:
    # Someone else's registry may have a certificate that every machine trusts.
    return ["registry"] if running.mode != "insecure" and running.outputs["registryCaCertificate"] else []


def _metrics(running: Running) -> list[str]:
    # Elsewhere than on this machine they answer in the hosts' own network only.
    url = str(running.outputs.get("registryMetricsUrl", ""))
    return [url] if url and running.outputs.get("platform") == "local" else []


def _asking_registry(running: Running) -> list[str]:
    return ["registry"] if running.asks_for_certificates else []


CHECKS = (
    Check("the registry speaks plain HTTP", speaks_plain_http, _registry_in("insecure")),
    Check("/v2/ with account answers {}", answers_with_account, _registry_in("insecure")),
    Check("/v2/ with account answers", answers_with_account, _registry_in("external")),
    Check("/v2/ with CA and account answers {}", answers_with_account, _registry_in("own")),
    Check("/v2/ without the CA is an x509 error", refuses_without_ca, _with_own_authority),
    Check("/v2/ without account is 401", refuses_without_account, _registry_alone),
    Check("/v2/ refuses no certificate", refuses_without_certificate, _asking_registry),
    Check("/v2/ refuses a foreign certificate", refuses_foreign_identity, _asking_registry),
    Check("the catalogue lists the image", catalogue_lists, _services_in("own", "insecure")),
    Check("the registry has the image", has_image, _services_in("external")),
    Check(
        "pulls by digest",
        pulls_by_digest,
        lambda running: [f"{host} {service}" for host in running.hosts for service in running.services],
    ),
    Check(
        "a missing image says so",
        misses_absent_image,
        lambda running: running.hosts if running.services else [],
    ),
    Check("metrics and health answer", tells_metrics, _metrics),
    Check("the registry's disk has room", has_room, _registry_hosts),
    Check("engine refuses no certificate", refuses_no_certificate, lambda running: running.hosts),
    Check("engine refuses a foreign CA", refuses_foreign_certificate, lambda running: running.hosts),
    Check("answers its health path", answers_health, lambda running: running.service_urls),
    Check("the certificate lasts", certificates_last, _certificates),
)


def _short(text: str) -> str:
    """The first line of a text, at most a hundred characters."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 100 else f"{line[:99]}…"


def foreign_client() -> tuple[str, str]:
    """A client certificate and its key, PEM, signed by an authority made on the spot and thrown away."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.now(UTC)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "foreign authority")])
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "foreign client")]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )
