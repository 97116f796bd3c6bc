"""`slipway:services.SERVICE.tls`: who vouches for a service's names."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from configuration.base import Settings
from configuration.constraints import Within, mistake
from configuration.types import FilePath, NameOfSecret

CHOICES = "Write own, off, auto, { auto: staging }, or { certificate: FILE, key: SECRET }."


class AutoSettings(Settings):
    """A certificate that an authority signs by ACME, from elsewhere than `slipway:acme.directory`."""

    auto: Annotated[Literal["staging"], Field(examples=["staging"])]
    """`staging` for Let's Encrypt's staging, whose certificates no browser trusts: try it first, since its limits are
    wide. Required."""


class CertificateFiles(Settings):
    """A certificate that somebody else has made."""

    certificate: Annotated[FilePath, Field(examples=["certificates/shop.pem"])]
    """File with the certificate and the ones between it and a root, PEM, relative to the project. Required."""

    key: Annotated[NameOfSecret, Field(examples=["SHOP_KEY"])]
    """Name of the secret in `slipway:secrets` with the private key, PEM. `./slip secret set NAME <key.pem` sets it.
    Required."""


def _tls(value: Any) -> Any:
    if value is False:
        return "off"  # `off` in YAML 1.1
    if isinstance(value, dict):
        return (AutoSettings if "auto" in value else CertificateFiles).model_validate(value)
    if value not in ("own", "off", "auto") and not isinstance(value, AutoSettings | CertificateFiles):
        raise mistake("not a way to get a certificate", CHOICES)
    return value


Tls = Literal["own", "off", "auto"] | AutoSettings | CertificateFiles
TlsSetting = Annotated[Tls, BeforeValidator(_tls)]
"""The stack's own authority, plain HTTP, an authority by ACME, or a certificate from elsewhere."""


_HstsInput = Annotated[int, Within(0, 63_072_000, "a time in seconds", "seconds")] | Literal["off"] | None


def _hsts(value: Any) -> Any:
    return None if value is False or value == "off" else value


Hsts = Annotated[
    Annotated[int, Within(0, 63_072_000, "a time in seconds", "seconds")] | None,
    BeforeValidator(_hsts, json_schema_input_type=_HstsInput),
]
