"""A stack that runs, as its outputs describe it: hosts, engines, registry, services."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from cli.errors import CommandError
from cli.running.backup import StateBackups
from cli.running.drift import Desired
from cli.running.host_report import HostReport
from cli.running.http import Account, ClientCertificate
from cli.running.place import Place, edges, places
from cli.running.registry_api import RegistryEndpoint

if TYPE_CHECKING:
    from docker import APIClient

ENGINE_PORT = 2376
"""Where an engine listens whose address has no port."""

PULL_PATIENCE = 300
"""Seconds that a pull may print nothing."""

NEEDED = frozenset(
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
        "serviceUrls",
    }
)
"""The outputs of every running stack, even if no roll-out of it has succeeded yet."""


class Failed(Exception):
    """The running stack is not as it should be. The text says what was found instead."""

    def __init__(self, found: str, remedy: str = "") -> None:
        """Say what was found, and the command that mends it."""
        super().__init__(found)
        self.remedy = remedy


@dataclass(frozen=True)
class RunningStack:
    """A running stack, from its outputs."""

    outputs: Mapping[str, Any]
    minimum_validity: timedelta = timedelta()
    """How long each certificate must be valid at least, for `slip verify`."""
    name: str = "local"
    """The stack's name without an organization."""
    option: str = ""
    """The option that names the stack on the command line."""
    reports: Mapping[str, HostReport] = field(default_factory=dict, repr=False)
    """What each host said that it runs and serves, for `slip verify`."""
    desired: tuple[Desired, ...] = field(default=(), repr=False)
    """What the stack's resources have made on the hosts, for `slip verify`."""
    state_backups: StateBackups | None = None
    """The backups of its state, for `slip verify`; None if it has none."""

    @classmethod
    def of(
        cls,
        outputs: Mapping[str, Any],
        minimum_validity: timedelta = timedelta(),
        *,
        name: str = "local",
        option: str = "",
    ) -> "RunningStack":
        """The stack with these outputs.

        Raises:
            CommandError: some outputs of a running stack are missing.

        """
        if missing := sorted(NEEDED - outputs.keys()):
            raise CommandError(
                f"the stack is not up, or only in part: it has no output {', '.join(missing)}",
                f"Run `./slip up{option}` first.",
                status=1,
            )
        return cls(outputs, minimum_validity, name, option)

    @property
    def registry_mode(self) -> str:
        """Which registry the stack uses, as in the settings: `own`, `insecure` or `external`."""
        return str(self.outputs.get("registryMode", "own"))

    @property
    def registry_endpoint(self) -> RegistryEndpoint:
        """How this machine reaches the registry, with the stack's CA, account and client certificate.

        Raises:
            Failed: no account has a password.

        """
        return RegistryEndpoint(
            self.outputs["registryPublicAddress"],
            self.outputs["registryCaCertificate"],
            self.account,
            self.client_certificate,
            self.registry_mode,
        )

    @property
    def account(self) -> Account:
        """Name and password of one of the registry's accounts.

        Raises:
            Failed: no account has a password.

        """
        passwords = self.outputs["registryPasswords"]
        names = [name for name in self.outputs["registryAccounts"] if name in passwords]
        if not names:
            raise Failed("no account of the registry has a password")
        return names[0], passwords[names[0]]

    def account_of(self, host: str) -> Account:
        """Name and password of the account by which a host pulls.

        Raises:
            Failed: no account has a password.

        """
        # A stack that an older Slipway updated last has one account for all hosts.
        name = (self.outputs.get("registryHostAccounts") or {}).get(host)
        return (name, self.outputs["registryPasswords"][name]) if name else self.account

    def pulled_by(self, host: str) -> list[str]:
        """The services whose images a host may pull: those that it runs; all for the registry's and the build host."""
        roles = self.outputs["hosts"][host].get("roles", ())
        placed = [service for service, where in self.places if where == host]
        return placed if "serviceHosts" in self.outputs and {"app", "edge"} >= set(roles) else self.services

    @property
    def asks_for_client_certificates(self) -> bool:
        """Whether the registry asks its clients for a certificate."""
        return bool(self.outputs.get("registryClientCertificates"))

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """The client certificate of `account`, where the registry asks for one."""
        return client_certificate_of(self.outputs, self.account[0])

    @property
    def operator_certificate(self) -> ClientCertificate:
        """The client certificate with which the operator reaches the engines."""
        return self.outputs["engineClientCertificate"], self.outputs["engineClientKey"]

    @property
    def hosts(self) -> list[str]:
        """The names of the hosts."""
        return sorted(self.outputs["hosts"])

    def hosts_with(self, role: str) -> list[str]:
        """The names of the hosts with a role."""
        return [name for name in self.hosts if role in self.outputs["hosts"][name].get("roles", ())]

    @property
    def services(self) -> list[str]:
        """The names of the services."""
        return sorted(self.outputs["serviceUrls"])

    @property
    def places(self) -> list[tuple[str, str]]:
        """Every service with each of its hosts, in the order of the roll-out."""
        hosts = self.outputs.get("serviceHosts") or {}
        return [(service, host) for service in self.services for host in hosts.get(service, ())]

    @property
    def edges(self) -> list[str]:
        """The names of the hosts that stand before all app hosts."""
        return edges(self.outputs)

    @property
    def doors(self) -> list[tuple[str, str]]:
        """Every service with each host where visitors reach it: the edges, or else its own hosts."""
        if not self.edges:
            return self.places
        return [(service, edge) for service in self.services for edge in self.edges]

    @property
    def proxy_hosts(self) -> list[str]:
        """The names of the hosts with a proxy for services: the app hosts and the edges."""
        return self.hosts_with("app") + self.edges

    def reports_behind(self, service: str, door: str) -> list[HostReport]:
        """What was said, as far as it was asked, by the hosts that visitors of a service come to by one of `doors`."""
        hosts = [host for name, host in self.places if name == service] if door in self.edges else [door]
        return [self.reports[host] for host in hosts if host in self.reports]

    @property
    def services_authority(self) -> str:
        """The certificates of the services CA, PEM; empty if it signs nothing."""
        return str(self.outputs.get("servicesCaCertificate") or "")

    def place(self, service: str, host: str) -> Place:
        """Where the proxy of a host answers visitors of a service."""
        return {(place.service, place.host): place for place in places(self.outputs)}[service, host]

    def wanted(self, service: str) -> str:
        """The image that a service is to run, `host:port/repository@sha256:…`; empty if none has been built yet."""
        # A stack that an older Slipway updated last has only what it exported then.
        images = self.outputs.get("wantedImages") or self.outputs.get("images") or {}
        return str(images.get(service, ""))

    def repository(self, service: str) -> str:
        """The repository of a service's image: `web` of `yard:5000/web@sha256:…`."""
        name = self.wanted(service).partition("@")[0].partition("/")[2]
        return name.partition(":")[0] or service

    def engine_target(self, host: str) -> tuple[str, int]:
        """Address and port of a host's engine."""
        parts = urlsplit(self.outputs["engineEndpoints"][host])
        return parts.hostname or "", parts.port or ENGINE_PORT

    @contextmanager
    def docker(self, host: str) -> Iterator["APIClient"]:
        """A client of a host's engine, for one block.

        Raises:
            Failed: the engine does not answer.

        """
        from cli.running.engine import ERRORS, connected

        certificate, key = self.operator_certificate
        try:
            with connected(
                self.outputs["engineEndpoints"][host],
                ca=self.outputs["engineCaCertificate"],
                certificate=certificate,
                key=key,
                timeout=PULL_PATIENCE,
            ) as client:
                yield client
        except ERRORS as error:
            raise Failed(f"the engine of {host}: {error}") from error


def client_certificate_of(outputs: Mapping[str, Any], account: str) -> ClientCertificate | None:
    """An account's client certificate for the registry of the stack with these outputs; None where it has none."""
    certificates, keys = (outputs.get(f"registryClient{what}") or {} for what in ("Certificates", "Keys"))
    return (certificates[account], keys[account]) if account in certificates and account in keys else None


@cache
def foreign_certificate() -> ClientCertificate:
    """A client certificate, signed by an authority that nothing trusts, and whose key is thrown away."""
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


class Known(Protocol):
    """A stack of Pulumi, such as `cli.stack.stack.Stack`."""

    @property
    def short_name(self) -> str:
        """The name without an organization."""

    @property
    def option(self) -> str:
        """The option that names it on the command line."""

    def outputs(self) -> Mapping[str, Any]:
        """The outputs, with secrets in plain text."""


def running_of(stack: Known) -> RunningStack:
    """What runs, by the stack's outputs. Raises a `CommandError` if it is not up."""
    return RunningStack.of(stack.outputs(), name=stack.short_name, option=stack.option)
