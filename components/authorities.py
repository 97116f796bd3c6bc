"""The stack's certificate authorities: the engine CA, the registry CA of a stack with a registry of its own, and the
services CA of a stack with HTTPS of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.ca_rotation import Rotation, make_authority, rotations
from components.certificates import (
    Authority,
    Certificate,
    CertificateArgs,
    CertificateAuthority,
    ClientCertificate,
    Lifetime,
)
from components.guests import host_stack, others_authority, others_certificate
from components.operators import Operator, make_operators
from components.previous_outputs import previous_outputs
from configuration.settings import StackSettings


@dataclass(frozen=True, kw_only=True)
class Authorities:
    """The engine CA, and what it takes to make the registry CA."""

    engine: Authority
    """Signs the engines' certificates and their clients'."""
    operator: ClientCertificate
    """The client certificate that this program and the operator show to engines."""
    operators: Mapping[str, Operator]
    """The people with a key and a certificate of their own, by name."""
    lifetime: Lifetime
    """Of every leaf certificate."""
    authority_validity_hours: int
    """Hours until a CA expires."""
    rotations: Mapping[str, Rotation]
    """The rotation of each CA, `engine`, `registry` and `services`, in this update."""
    previous_outputs: Mapping[str, object]
    """The stack's outputs of the last successful update."""
    host_stack: Mapping[str, Any] | None = None
    """The outputs of the stack on whose hosts this one is, secrets in clear text; None if the hosts are its own."""

    @property
    def engine_clients_pem(self) -> pulumi.Output[str]:
        """The certificates by which engines know their clients, PEM: the engine CA's, and each operator's own."""
        return pulumi.Output.concat(
            self.engine.trusted_pem, *(person.certificate_pem for _, person in sorted(self.operators.items()))
        )

    def make_services_ca(self) -> CertificateAuthority:
        """The services CA, which signs the certificates of services with `tls: own`."""
        return make_authority("services", self.rotations["services"], self.authority_validity_hours)

    def make_registry_ca(self) -> CertificateAuthority:
        """The registry CA, which signs the certificates of the registry and its clients."""
        return make_authority("registry", self.rotations["registry"], self.authority_validity_hours)


def make_authorities(settings: StackSettings) -> Authorities:
    """The engine CA and the operator's client certificate.

    Raises:
        pulumi.RunError: a configured generation cannot be reached.
    """
    certificates = settings.certificates
    lifetime = Lifetime(
        validity_hours=certificates.validity_hours, early_renewal_hours=certificates.early_renewal_hours
    )
    outputs = previous_outputs()
    found = rotations(
        {
            "engine": certificates.engine_ca_generation,
            "registry": certificates.registry_ca_generation,
            "services": certificates.services_ca_generation,
        },
        outputs,
    )
    others = host_stack(settings)
    if others is not None:
        return Authorities(
            engine=others_authority(others),
            operator=others_certificate(others),
            operators={},
            lifetime=lifetime,
            authority_validity_hours=certificates.authority_validity_hours,
            rotations=found,
            previous_outputs=outputs,
            host_stack=others,
        )
    engine = make_authority("engine", found["engine"], certificates.authority_validity_hours)
    operator = Certificate(
        "operator",
        CertificateArgs(authority=engine, common_name="operator", uses=["client_auth"], lifetime=lifetime),
    )
    return Authorities(
        engine=engine,
        operator=operator,
        operators=make_operators(settings, lifetime),
        lifetime=lifetime,
        authority_validity_hours=certificates.authority_validity_hours,
        rotations=found,
        previous_outputs=outputs,
    )
