"""Private certificate authorities and the leaf certificates that they sign."""

from dataclasses import dataclass, field
from typing import Optional

import pulumi
import pulumi_tls as tls

ORGANIZATION = "Slipway"
"""The organization in the subject of each certificate."""


def new_key(name: str, parent: pulumi.Resource) -> tls.PrivateKey:
    """An ECDSA P-256 key: every Docker Engine, registry and browser accepts it, and it is quick to make."""
    return tls.PrivateKey(
        name, algorithm="ECDSA", ecdsa_curve="P256", opts=pulumi.ResourceOptions(parent=parent)
    )


@dataclass(frozen=True, kw_only=True)
class CertificateAuthorityArgs:
    """What a certificate authority is made from."""

    common_name: str
    """The common name of the certificate's subject."""
    validity_hours: int
    """Hours until it expires. It is not renewed early, since every host must trust a new CA first (`ca_rotation`)."""
    predecessor: Optional["CertificateAuthority"] = None
    """During a CA rotation, the CA that this one replaces."""


class Authority:
    """What is used of a certificate authority: the stack's own, or another stack's."""

    certificate_pem: pulumi.Output[str]
    """The certificate of this CA alone, PEM. Public."""
    trusted_pem: pulumi.Output[str]
    """The certificates to trust, PEM: this CA's and, during a rotation, its predecessor's. Public."""
    cross_pem: pulumi.Output[str] | None
    """The cross-signed certificate of this CA, signed by its predecessor, PEM. A leaf certificate is followed by it, so
    that clients that trust only the predecessor accept the leaf. None without a predecessor."""
    private_key_pem: pulumi.Output[str]
    """The signing key, PEM. Secret; it never leaves the state."""


class CertificateAuthority(pulumi.ComponentResource, Authority):
    """A private CA: a key and a self-signed certificate."""

    def __init__(
        self, name: str, args: CertificateAuthorityArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("slipway:index:CertificateAuthority", name, None, opts)
        key = new_key(f"{name}-key", self)
        certificate = tls.SelfSignedCert(
            f"{name}-certificate",
            private_key_pem=key.private_key_pem,
            subject=tls.SelfSignedCertSubjectArgs(common_name=args.common_name, organization=ORGANIZATION),
            is_ca_certificate=True,
            set_subject_key_id=True,
            validity_period_hours=args.validity_hours,
            allowed_uses=["cert_signing", "crl_signing"],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.certificate_pem = self.trusted_pem = certificate.cert_pem
        self.private_key_pem = pulumi.Output.secret(key.private_key_pem)
        self.cross_pem = None
        if args.predecessor:
            self.trusted_pem = pulumi.Output.concat(self.certificate_pem, args.predecessor.certificate_pem)
            self.cross_pem = self._signed_by(args.predecessor, name, args, key)
        self.register_outputs({"certificate_pem": self.certificate_pem})

    def _signed_by(
        self,
        predecessor: "CertificateAuthority",
        name: str,
        args: CertificateAuthorityArgs,
        key: tls.PrivateKey,
    ) -> pulumi.Output[str]:
        request = tls.CertRequest(
            f"{name}-cross-request",
            private_key_pem=key.private_key_pem,
            # A cross-signed certificate has the name and the key of the self-signed one.
            subject=tls.CertRequestSubjectArgs(common_name=args.common_name, organization=ORGANIZATION),
            opts=pulumi.ResourceOptions(parent=self),
        )
        certificate = tls.LocallySignedCert(
            f"{name}-cross-certificate",
            cert_request_pem=request.cert_request_pem,
            ca_cert_pem=predecessor.certificate_pem,
            ca_private_key_pem=predecessor.private_key_pem,
            is_ca_certificate=True,
            set_subject_key_id=True,
            allowed_uses=["cert_signing", "crl_signing"],
            validity_period_hours=args.validity_hours,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return certificate.cert_pem


@dataclass(frozen=True, kw_only=True)
class Lifetime:
    """How long a leaf certificate is valid, and when it is renewed."""

    validity_hours: int
    """Hours until it expires."""
    early_renewal_hours: int
    """An `up` renews it if it expires within this many hours."""


@dataclass(frozen=True, kw_only=True)
class CertificateArgs:
    """What a leaf certificate is made from."""

    authority: Authority
    """The CA that signs it."""
    common_name: str
    """The common name of its subject. Clients check the SANs only."""
    dns_names: list[str] = field(default_factory=list)
    """DNS SANs."""
    ip_addresses: list[pulumi.Input[str]] = field(default_factory=list)
    """IP SANs."""
    uses: list[str]
    """Extended key usages: `server_auth`, `client_auth`."""
    lifetime: Lifetime
    """How long it is valid."""


class ClientCertificate:
    """What a client of an engine shows: the stack's own certificate, or another stack's."""

    certificate_pem: pulumi.Output[str]
    """The certificate chain, PEM: the leaf and, during a CA rotation, the cross-signed certificate. Public."""
    private_key_pem: pulumi.Output[str]
    """Its key, PEM. Secret."""


class Certificate(pulumi.ComponentResource, ClientCertificate):
    """A leaf certificate and its key. An `up` in the last weeks before it expires renews it."""

    valid_from: pulumi.Output[str]
    """When it was made, in RFC 3339, by the operator's clock. The TLS plugin makes none that is valid before that."""

    def __init__(self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Certificate", name, None, opts)
        key = new_key(f"{name}-key", self)
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=args.common_name, organization=ORGANIZATION),
            dns_names=args.dns_names,
            ip_addresses=args.ip_addresses,
            opts=pulumi.ResourceOptions(parent=self),
        )
        certificate = tls.LocallySignedCert(
            f"{name}-certificate",
            cert_request_pem=request.cert_request_pem,
            ca_cert_pem=args.authority.certificate_pem,
            ca_private_key_pem=args.authority.private_key_pem,
            allowed_uses=["digital_signature", *args.uses],
            validity_period_hours=args.lifetime.validity_hours,
            early_renewal_hours=args.lifetime.early_renewal_hours,
            opts=pulumi.ResourceOptions(parent=self),
        )
        cross = args.authority.cross_pem
        self.certificate_pem = (
            pulumi.Output.concat(certificate.cert_pem, cross) if cross else certificate.cert_pem
        )
        self.private_key_pem = pulumi.Output.secret(key.private_key_pem)
        self.valid_from = certificate.validity_start_time
        self.register_outputs({"certificate_pem": self.certificate_pem})
