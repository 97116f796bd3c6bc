"""`slipway:certificates`: how long certificates are valid."""

from typing import Annotated

from configuration.base import Settings
from configuration.constraints import Within

Generation = Annotated[int, Within(1, 1000, "a generation")]
"""Counts the authorities of one purpose: 1 for the first, and one more at each rotation."""


class CertificateSettings(Settings):
    """How long certificates are valid, and when certificate authorities rotate."""

    authority_validity_hours: Annotated[int, Within(1, 175_200, "a time in hours", "hours")] = 87_600
    """Hours for which the certificate authorities are valid, 1 to 175200 (20 years). Default: 87600 (10
    years)."""

    validity_hours: Annotated[int, Within(1, 19_800, "a time in hours", "hours")] = 8_760
    """Hours for which the certificates of engines, registry, services and clients are valid, 1 to 19800 (825 days).
    Apple's systems refuse a server's certificate that is valid for longer. Default: 8760 (one year)."""

    early_renewal_hours: Annotated[int, Within(0, 19_799, "a time in hours", "hours")] = 720
    """Hours before a certificate's end from which an `up` renews it, 0 to 19799. Default: 720 (30 days)."""

    registry_ca_generation: Generation = 1
    """Number of the registry's certificate authority, 1 to 1000. Add one to rotate it, and run `up` twice:
    after the first `up` hosts trust both authorities, after the second only the new one. People have to log
    in again. Default: 1."""

    engine_ca_generation: Generation = 1
    """Number of the certificate authority of the Docker Engines and their clients, 1 to 1000. Add one to
    rotate it, and run `up` twice. Default: 1."""

    services_ca_generation: Generation = 1
    """Number of the certificate authority of services with `tls: own`, 1 to 1000. Add one to rotate it, and run
    `up` twice, with `./slip trust` on each machine in between. Default: 1."""
