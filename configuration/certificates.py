"""`slipway:certificates`: how long certificates are valid."""

from typing import Annotated

from configuration.base import Settings
from configuration.types import Within

Generation = Annotated[int, Within(1, 1000, "a generation")]
"""The first authority has 1; each that takes over from another has one more."""


class CertificateSettings(Settings):
    """How long certificates are valid."""

    authority_validity_hours: Annotated[int, Within(1, 175_200, "a time in hours")] = 87_600
    """Hours that the two certificate authorities are valid, 1 to 175200 (20 years). By default 10 years."""

    validity_hours: Annotated[int, Within(1, 19_800, "a time in hours")] = 8_760
    """Hours that the certificates of engines, registry and clients are valid. By default one year; at most
    825 days, beyond which Apple's systems refuse a server's certificate."""

    early_renewal_hours: Annotated[int, Within(0, 19_799, "a time in hours")] = 720
    """An `up` renews the certificates that end within so many hours. By default 30 days, so that one `up` a
    month is enough."""

    registry_ca_generation: Generation = 1
    """Which authority stands for the registry. One more than before makes a new one, and the next two `up`s move
    everybody to it: the first lets hosts trust both, the second drops the old one. People then have to log in
    again. 1 to 1000."""

    engine_ca_generation: Generation = 1
    """The same for the authority that stands for the engines and for who may drive them. 1 to 1000."""
