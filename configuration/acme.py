"""`slipway:acme`: the authority that signs the certificates of services with `tls: auto`."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StrictStr

from configuration.base import Settings
from configuration.constraints import Matching, mistake
from configuration.types import FilePath, NameOfSecret

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


def _directory(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_fit = parts.scheme == "https" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_fit = False
    if not is_fit or any(not character.isprintable() or character == " " for character in url):
        raise mistake(
            "not the URL of an ACME directory",
            f"Write one that begins with https://, such as {LETS_ENCRYPT}.",
        )
    return url


class ExternalAccountSettings(Settings):
    """An account that you have at the authority already, to which the stack's is bound (RFC 8555, 7.3.4)."""

    kid: Annotated[StrictStr, Field(min_length=1, examples=["kid-1"])]
    """Key identifier, as the authority shows it. Required."""

    key: Annotated[NameOfSecret, Field(examples=["EAB_KEY"])]
    """Name of the secret in `slipway:secrets` with the HMAC key in base64url, as the authority shows it. Required."""


class AcmeSettings(Settings):
    """The authority of services with `tls: auto`, which speaks ACME (RFC 8555)."""

    directory: Annotated[StrictStr, AfterValidator(_directory)] = LETS_ENCRYPT
    """URL of its directory. With `tls: auto` you agree to its terms of service. Default:
    `https://acme-v02.api.letsencrypt.org/directory`, which is Let's Encrypt's."""

    email: (
        Annotated[
            StrictStr,
            Matching(r"[^@\s,?]+@[^@\s,?]+", "not an e-mail address", "Write one, such as ops@example.com."),
            Field(examples=["ops@example.com"]),
        ]
        | None
    ) = None
    """Address to which it may write. Default: none."""

    dns: Annotated[Literal["route53"] | None, Field(examples=["route53"])] = None
    """`route53`: the names are proved by records in Route 53, which wildcards take, and not by the hosts' answers on
    port 80. The machine that runs `up` has credentials for AWS then, and the names' public zones are in that account.
    Default: none."""

    eab: Annotated[ExternalAccountSettings | None, Field(examples=[{"kid": "kid-1", "key": "EAB_KEY"}])] = (
        None
    )
    """External account, which some authorities want, such as ZeroSSL. Default: none."""

    ca: Annotated[FilePath | None, Field(examples=["certificates/acme-ca.pem"])] = None
    """File with the certificates, PEM, by which a private directory is known, relative to the project. Default: what
    this machine trusts."""
