"""A server's certificate from elsewhere: whether clients will accept it, and what to do if not.

Importing this takes a tenth of a second.
"""

import re
import ssl
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.utils import CryptographyDeprecationWarning

BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""The roots that this machine trusts, on Debian, Fedora and macOS."""

SMALLEST_RSA = 2048
"""Bits. OpenSSL refuses a smaller key at its usual level of security."""


class Unfit(Exception):
    """Something that is no certificate, no key, or not one that can be served."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.wrong, self.remedy = wrong, remedy


@dataclass(frozen=True)
class Chain:
    """A leaf certificate, followed by those between it and a root."""

    certificates: Sequence[x509.Certificate]

    @property
    def leaf(self) -> x509.Certificate:
        """The server's own."""
        return self.certificates[0]

    @property
    def names(self) -> list[str]:
        """The names that it vouches for, in lower case."""
        try:
            found = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return [name.lower() for name in found.get_values_for_type(x509.DNSName)]

    def fits(self, public_key: bytes) -> bool:
        """Whether the certificate was made for this key."""
        return _encoded(self.leaf.public_key()) == public_key

    def covers(self, name: str) -> bool:
        """Whether it vouches for a name, or for all names of a wildcard (RFC 9525, section 6.3)."""
        wildcard = f"*.{name.partition('.')[2]}"
        return name in self.names or wildcard in self.names

    def mistakes(self, names: Sequence[str], now: datetime | None = None) -> Iterator[Unfit]:
        """Why clients will refuse it.

        Args:
            names: the names by which clients come.
            now: the time; by default this machine's clock.
        """
        yield from self._outside_validity(now or datetime.now(UTC))
        if missing := [name for name in names if not self.covers(name)]:
            yield Unfit(
                f"does not vouch for {', '.join(missing)}, but for {', '.join(self.names) or 'no name'}",
                "Name a certificate that has every name of the service, or take these names out of domains.",
            )
        for below, above in zip(self.certificates, self.certificates[1:], strict=False):
            if not _signed(below, above):
                yield Unfit(
                    f"its chain is broken: {_subject(above)} did not sign {_subject(below)}",
                    "Put the certificate of the server first, then that which signed it, and so on.",
                )
                return
        last = self.certificates[-1]
        if not _signed(last, last) and not any(_signed(last, root) for root in _roots(last.issuer)):
            yield Unfit(
                f"its chain is incomplete: {_issuer(last)}, which signed {_subject(last)}, is missing",
                "Append the certificates between it and a root that this machine trusts, or that root itself.",
            )

    def _outside_validity(self, now: datetime) -> Iterator[Unfit]:
        """The certificates that are not valid now. Clients have the root themselves, so its time does not count."""
        for certificate in self.certificates:
            above = certificate is not self.leaf
            if above and _signed(certificate, certificate):
                continue
            who = f"its chain has {_subject(certificate)}, which is " if above else ""
            begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            if now >= end:
                yield Unfit(
                    f"{who}expired {end:%Y-%m-%d %H:%M} UTC",
                    "Put the one there that the authority gives out now."
                    if above
                    else "Name a file with a renewed certificate.",
                )
            elif now < begin:
                yield Unfit(
                    f"{who}not valid before {begin:%Y-%m-%d %H:%M} UTC",
                    "Wait until then, name another certificate, or correct this machine's clock.",
                )


def chain(text: str) -> Chain:
    """The certificates in a PEM text.

    Raises:
        Unfit: it has none, it has a private key, or its first one is an authority's with others behind it.
    """
    if re.search(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY", text):
        raise Unfit(
            "holds a private key", "Leave only certificates in the file; the key belongs in slipway:secrets."
        )
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise Unfit(
            "holds no certificate in PEM", "Name a file with lines -----BEGIN CERTIFICATE-----."
        ) from None
    return Chain(found)


def public_key(text: str) -> bytes:
    """The public part of a private key in a PEM text.

    Raises:
        Unfit: it is none, it is encrypted, or HAProxy cannot use it.
    """
    if re.search(r"-----BEGIN ENCRYPTED PRIVATE KEY|^Proc-Type: 4,ENCRYPTED", text, re.MULTILINE):
        raise Unfit(
            "the key is encrypted", "Decrypt it (openssl pkey -in encrypted.pem -out key.pem), then set it:"
        )
    try:
        key = serialization.load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        raise Unfit("not a private key in PEM", "Set one:") from None
    public = key.public_key()
    if not isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        raise Unfit("a key that browsers do not take", "Set an RSA or ECDSA key:")
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < SMALLEST_RSA:
        raise Unfit(f"an RSA key of {public.key_size} bits", f"Set one of {SMALLEST_RSA} bits or more:")
    return _encoded(public)


def _encoded(key: object) -> bytes:
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every public key has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


@cache
def _roots(issuer: x509.Name) -> tuple[x509.Certificate, ...]:
    """The roots of this name that this machine trusts."""
    context = ssl.create_default_context()
    texts = [ssl.DER_cert_to_PEM_cert(der) for der in context.get_ca_certs(binary_form=True)]
    if not texts:
        texts = [Path(file).read_text(encoding="utf-8") for file in BUNDLES if Path(file).is_file()][:1]
    found = []
    for block in re.findall(
        r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", "\n".join(texts), re.DOTALL
    ):
        try:
            with warnings.catch_warnings():
                # Some roots are not as this library would have them.
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                root = x509.load_pem_x509_certificate(block.encode())
            if root.subject == issuer:
                found.append(root)
        except ValueError:  # a root that this library cannot read
            continue
    return tuple(found)


def _subject(certificate: x509.Certificate) -> str:
    return _shown(certificate.subject)


def _issuer(certificate: x509.Certificate) -> str:
    return _shown(certificate.issuer)


def _shown(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return f'"{str(common[0].value) if common else name.rfc4514_string()}"'
