"""How hosts reach and trust the registry: the stack's own, or an external one. This is decided here, once."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pulumi

from components.authorities import Authorities
from components.certificates import Certificate, CertificateArgs, CertificateAuthority
from components.host import Host
from components.previous_outputs import outputs_of
from configuration.registry import ExternalRegistrySettings
from configuration.settings import StackSettings
from well_known import guest_account

NEEDED_OUTPUTS = ("registryPublicAddress", "registryCaCertificate", "registryMode")
"""The outputs of another stack that its registry is read from."""


@dataclass(frozen=True, kw_only=True)
class OwnRegistry:
    """What only a registry that the stack itself runs has."""

    host: Host
    """The host that runs it."""
    authority: CertificateAuthority
    """The CA that signs its certificate and its clients'."""


@dataclass(frozen=True, kw_only=True)
class RegistryAccess:
    """The registry as its clients need it: its address, the CA to trust, the accounts."""

    address: str
    """`host:port` or `host`: the first part of every image name. The hosts resolve it."""
    host_address: pulumi.Input[str]
    """The address of the registry's host for the other hosts: IP address or DNS name. Empty if external."""
    certificate_authority_pem: pulumi.Input[str]
    """The CA certificate; two during a CA rotation. Empty if every machine trusts the CA already."""
    username: str
    """The account with which the build host pushes and pulls; after `of_host`, that host's."""
    passwords: Mapping[str, pulumi.Input[str]]
    """The password of each account. Secret."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """The account of each host."""
    insecure: bool = False
    """Whether it speaks plain HTTP, which an engine accepts only from the registries that its configuration lists."""
    clients: Mapping[str, Certificate] = field(default_factory=dict)
    """The client certificate of each account, if the registry requires client certificates."""
    public_address: str = ""
    """The address of another stack's registry for the operator; empty to go by the others."""
    namespace: str = ""
    """In an external registry: the part between its address and the names of the stack's images."""
    own: OwnRegistry | None = None
    """What only a registry of the stack's own has; None for an external one."""

    def of_host(self, name: str) -> "RegistryAccess":
        """The same registry with the account of a host."""
        return replace(self, username=self.hosts.get(name, self.username))

    @property
    def password(self) -> pulumi.Input[str]:
        """The password of that account. Secret."""
        return self.passwords[self.username]

    @property
    def client(self) -> Certificate | None:
        """The client certificate of that account, if the registry requires one."""
        return self.clients.get(self.username)

    @property
    def authority(self) -> CertificateAuthority | None:
        """The registry CA; None for an external registry."""
        return self.own.authority if self.own else None

    def repository(self, name: str) -> str:
        """The full name of one of the stack's images, without tag and digest."""
        return "/".join(part for part in (self.address, self.namespace, name) if part)


def registry_access(
    settings: StackSettings, hosts: Mapping[str, Host], authorities: Authorities
) -> RegistryAccess:
    """The stack's own registry if a host has the role `registry`, else the external one.

    Raises:
        pulumi.RunError: the registry of the other stack, `registry.external.stack`, cannot be used.
    """
    external = settings.registry.external
    if authorities.host_stack is not None and external:
        return _guests_access(external, authorities.host_stack)
    passwords: dict[str, pulumi.Input[str]] = {
        account: pulumi.Output.secret(settings.password(account)) for account in settings.accounts
    }
    if external:
        return _external_access(external, passwords)
    return _own_access(settings, hosts[str(settings.registry_host)], authorities, passwords)


def _guests_access(external: ExternalRegistrySettings, outputs: Mapping[str, Any]) -> RegistryAccess:
    """The registry of the stack on whose hosts this one is, which these hosts trust already."""
    password = outputs["registryPasswords"].get(external.username)
    if password is None:
        raise pulumi.RunError(
            f"the registry of the stack whose hosts are used has no account {external.username}. "
            "Set slipway:review.guests there, run its `./slip up`, and then `./slip review open` again."
        )
    return RegistryAccess(
        address=str(outputs["registryAddress"]),
        public_address=str(outputs["registryPublicAddress"]),
        namespace=external.namespace or "",
        host_address="",
        certificate_authority_pem=str(outputs["registryCaCertificate"]),
        username=external.username,
        passwords={external.username: pulumi.Output.secret(password)},
        insecure=outputs["registryMode"] == "insecure",
    )


def _own_access(
    settings: StackSettings,
    host: Host,
    authorities: Authorities,
    passwords: dict[str, pulumi.Input[str]],
) -> RegistryAccess:
    authority = authorities.make_registry_ca()
    accounts = {name: settings.account_of(name) for name in settings.hosts}
    seeds = pulumi.Output.all(host.ssh_private_key, passwords[settings.hosts_account])
    of_guests = [guest_account(slot) for slot in range(1, settings.review.guests + 1)]
    for account in [*accounts.values(), *of_guests]:
        if account not in passwords:
            derived: pulumi.Output[str] = seeds.apply(partial(_derived, account))
            passwords[account] = pulumi.Output.secret(derived)
    clients = {
        account: Certificate(
            f"{account}-registry-client",
            CertificateArgs(
                authority=authority,
                common_name=account,
                uses=["client_auth"],
                lifetime=authorities.lifetime,
            ),
        )
        for account in passwords
        if settings.registry.client_certificates
    }
    return RegistryAccess(
        address=settings.registry_address,
        certificate_authority_pem=authority.trusted_pem,
        host_address=host.private_address,
        username=settings.hosts_account,
        passwords=passwords,
        insecure=settings.registry.insecure,
        clients=clients,
        hosts=accounts,
        own=OwnRegistry(host=host, authority=authority),
    )


def _derived(account: str, secrets: Sequence[str]) -> str:
    """The password of a host's account. It changes with that of the build host, which does not follow from it."""
    key, password = secrets
    made = hmac.digest(key.encode(), f"{account}\0{password}".encode(), "sha256")
    return urlsafe_b64encode(made).rstrip(b"=").decode()


def _external_access(
    external: ExternalRegistrySettings, passwords: Mapping[str, pulumi.Input[str]]
) -> RegistryAccess:
    server, authority = external.server, external.authority(Path.cwd())
    if external.stack:
        outputs = outputs_of(external.stack)
        if mistake := _mistake(outputs):
            raise pulumi.RunError(f"slipway:registry.external.stack = {external.stack}: {mistake}")
        server = str(outputs["registryPublicAddress"])
        authority = authority or str(outputs["registryCaCertificate"])
    return RegistryAccess(
        address=str(server),
        namespace=external.namespace or "",
        host_address="",
        certificate_authority_pem=authority,
        username=external.username,
        passwords=passwords,
    )


def _mistake(outputs: Mapping[str, object]) -> str:
    """Why the registry of another stack cannot be used, and the remedy; empty if it can."""
    if missing := [key for key in NEEDED_OUTPUTS if key not in outputs]:
        return f"it has no output {', '.join(missing)}. Name a Slipway stack that is up."
    if outputs["registryMode"] != "own":
        return "it has no registry of its own with TLS. Name the stack that runs the registry, or set server."
    if outputs.get("registryClientCertificates"):
        return (
            "its registry requires client certificates, which the hosts of this stack do not have. "
            "Leave out registry.clientCertificates in that stack, or use another registry."
        )
    host = str(outputs["registryPublicAddress"]).rpartition(":")[0].strip("[]")
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if loopback:
        return (
            f"its registry listens on {host}, which the hosts of this stack cannot reach. "
            "Use a stack on another platform than local."
        )
    return ""
