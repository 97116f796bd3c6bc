"""The operators: people with an SSH key and an engine's client certificate of their own, which one `up` takes away."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from components.certificates import ORGANIZATION, Lifetime, new_key
from configuration.settings import StackSettings


@dataclass(frozen=True, kw_only=True)
class OperatorArgs:
    """What an operator has."""

    public_key: str
    """Their SSH key, a line of OpenSSH without a comment."""
    lifetime: Lifetime
    """Of their certificate."""


class Operator(pulumi.ComponentResource):
    """A person's client certificate for the engines, signed by itself.

    Docker Engine reads no list of revoked certificates. So each person's certificate is one of those that the engines
    trust, beside the engine CA: it lets in this person only, and an engine that no longer has it refuses them.
    """

    public_key: str
    """Their SSH key."""
    certificate_pem: pulumi.Output[str]
    """Their certificate, PEM. Public."""
    private_key_pem: pulumi.Output[str]
    """Its key, PEM. Secret."""

    def __init__(self, name: str, args: OperatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Operator", f"operator-{name}", None, opts)
        # Another SSH key is another laptop: its certificate is another one, too, and the one before is refused.
        pair = f"operator-{name}-{hashlib.sha256(args.public_key.encode()).hexdigest()[:8]}"
        key = new_key(f"{pair}-key", self)
        certificate = tls.SelfSignedCert(
            f"{pair}-certificate",
            private_key_pem=key.private_key_pem,
            subject=tls.SelfSignedCertSubjectArgs(common_name=name, organization=ORGANIZATION),
            allowed_uses=["digital_signature", "client_auth"],
            validity_period_hours=args.lifetime.validity_hours,
            early_renewal_hours=args.lifetime.early_renewal_hours,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.public_key = args.public_key
        self.certificate_pem = certificate.cert_pem
        self.private_key_pem = pulumi.Output.secret(key.private_key_pem)
        self.register_outputs({"certificate_pem": self.certificate_pem})


def make_operators(settings: StackSettings, lifetime: Lifetime) -> dict[str, Operator]:
    """The stack's operators, by name."""
    return {
        name: Operator(name, OperatorArgs(public_key=key, lifetime=lifetime))
        for name, key in settings.operators.items()
    }


def authorized_keys(operators: Mapping[str, Operator]) -> str:
    """The operators' lines of a host's `authorized_keys`. engine.sh knows them by their comment."""
    return "".join(
        f"{operator.public_key} slipway-operator:{name}\n" for name, operator in sorted(operators.items())
    )
