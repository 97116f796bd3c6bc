"""`slipway:services.SERVICE.tls`: who vouches for a service's names."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from configuration.base import Settings
from configuration.constraints import Within, mistake
from configuration.types import FilePath, Variable

PLANNED = "auto"
"""A way that a later version will have: certificates of a public authority, by ACME."""
CHOICES = "Write own, off, or { certificate: FILE, key: SECRET }."


class CertificateFiles(Settings):
    """A certificate that somebody else has made."""

    certificate: Annotated[FilePath, Field(examples=["certificates/shop.pem"])]
    """File with the certificate and the ones between it and a root, PEM, relative to the project. Required."""

    key: Annotated[Variable, Field(examples=["SHOP_KEY"])]
    """Name of the secret in `slipway:secrets` with the private key, PEM. `./slip secret set NAME <key.pem` sets it.
    Required."""


def _tls(value: Any) -> Any:
    if value is False:
        return "off"  # `off` in YAML 1.1
    if value == PLANNED or (isinstance(value, dict) and PLANNED in value):
        raise mistake("certificates by ACME are not available in this version", CHOICES)
    if isinstance(value, dict):
        return CertificateFiles.model_validate(value)
    if value not in ("own", "off") and not isinstance(value, CertificateFiles):
        raise mistake("not a way to get a certificate", CHOICES)
    return value


Tls = Literal["own", "off"] | CertificateFiles
TlsSetting = Annotated[Tls, BeforeValidator(_tls)]
"""The stack's own authority, plain HTTP, or a certificate from elsewhere."""


_HstsInput = Annotated[int, Within(0, 63_072_000, "a time in seconds", "seconds")] | Literal["off"] | None


def _hsts(value: Any) -> Any:
    return None if value is False or value == "off" else value


Hsts = Annotated[
    Annotated[int, Within(0, 63_072_000, "a time in seconds", "seconds")] | None,
    BeforeValidator(_hsts, json_schema_input_type=_HstsInput),
]
