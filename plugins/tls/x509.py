"""Keys, requests and certificates, with the contents and encodings of the official plugin's.

This module imports `cryptography`, the slowest import of an update without a change, so `plugins.tls.plugin` imports it
only to create something.
"""

import base64
import hashlib
import ipaddress
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from plugins.protocol.messages import Failure
from plugins.tls.names import EXTENDED_KEY_USAGES, KEY_USAGES, SUBJECT

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}

_SUBJECT_OIDS: Final = {
    "country": NameOID.COUNTRY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "streetAddresses": NameOID.STREET_ADDRESS,
    "postalCode": NameOID.POSTAL_CODE,
    "commonName": NameOID.COMMON_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}


class Names(NamedTuple):
    """The names in a certificate: its subject and subject alternative names."""

    subject: Mapping[str, Any] | None = None
    dns: Iterable[str] = ()
    ip: Iterable[str] = ()
    uri: Iterable[str] = ()


class Terms(NamedTuple):
    """The uses and the validity of a certificate."""

    allowed_uses: Iterable[str]
    start: datetime
    end: datetime
    is_ca: bool = False
    max_path_length: int | None = None
    set_subject_key_id: bool = False
    set_authority_key_id: bool = False


class Signer(NamedTuple):
    """An issuer: its certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey


def generate(algorithm: str, rsa_bits: int, curve: str) -> PrivateKey:
    """Return a new private key."""
    if algorithm == "RSA":
        try:
            return rsa.generate_private_key(65537, rsa_bits)
        except ValueError as error:
            raise Failure(f"Failed to generate an RSA key of {rsa_bits} bits: {error}") from None
    if algorithm == "ECDSA":
        return ec.generate_private_key(CURVES[curve]())
    return ed25519.Ed25519PrivateKey.generate()


def describe_key(key: PrivateKey) -> dict[str, str]:
    """Return the id of `key` and its outputs in all formats."""
    public = key.public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    # OpenSSH does not support P-224; the official plugin leaves these outputs empty.
    for_ssh = not (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP224R1))
    blob = b""
    if for_ssh:
        blob = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return {
        "id": hashlib.sha1(der, usedforsecurity=False).hexdigest(),
        "privateKeyOpenssh": _private_pem(key, serialization.PrivateFormat.OpenSSH) if for_ssh else "",
        "privateKeyPem": _private_pem(key, _traditional_format(key)),
        "privateKeyPemPkcs8": _private_pem(key, serialization.PrivateFormat.PKCS8),
        "publicKeyFingerprintMd5": _fingerprint_md5(blob),
        "publicKeyFingerprintSha256": _fingerprint_sha256(blob),
        "publicKeyOpenssh": f"{blob.decode()}\n" if for_ssh else "",
        "publicKeyPem": public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode(),
    }


def _traditional_format(key: PrivateKey) -> serialization.PrivateFormat:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return serialization.PrivateFormat.PKCS8  # Ed25519 has no older format
    return serialization.PrivateFormat.TraditionalOpenSSL


def _private_pem(key: PrivateKey, form: serialization.PrivateFormat) -> str:
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode()


def _key_blob(openssh: bytes) -> bytes:
    return base64.b64decode(openssh.split()[1])


def _fingerprint_md5(openssh: bytes) -> str:
    if not openssh:
        return ""
    digest = hashlib.md5(_key_blob(openssh), usedforsecurity=False).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _fingerprint_sha256(openssh: bytes) -> str:
    if not openssh:
        return ""
    digest = base64.b64encode(hashlib.sha256(_key_blob(openssh)).digest()).decode()
    return f"SHA256:{digest.rstrip('=')}"


def load_key(pem: str, what: str = "private key") -> PrivateKey:
    """Return the private key in `pem`; Failure, which names it as `what`, if it cannot be read."""
    _need_pem(pem, what)
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (TypeError, ValueError) as error:
        raise Failure(f"Failed to parse {what} PEM: {_first_line(error)}") from None
    if not isinstance(key, PrivateKey):
        raise Failure(f"Failed to parse {what} PEM: a {type(key).__name__} is none of RSA, ECDSA, ED25519")
    return key


def load_certificate(pem: str) -> x509.Certificate:
    """Return the CA certificate in `pem`."""
    return _load(pem, "CA certificate", x509.load_pem_x509_certificate)


def load_request(pem: str) -> x509.CertificateSigningRequest:
    """Return the certificate request in `pem`; Failure if its signature is invalid."""
    request = _load(pem, "certificate request", x509.load_pem_x509_csr)
    if not request.is_signature_valid:
        raise Failure("Failed to verify certificate request: its signature does not match its key")
    return request


_Loaded = TypeVar("_Loaded", x509.Certificate, x509.CertificateSigningRequest)


def _load(pem: str, what: str, load: Callable[[bytes], _Loaded]) -> _Loaded:
    _need_pem(pem, what)
    try:
        return load(pem.encode())
    except ValueError as error:
        raise Failure(f"Failed to parse {what} PEM: {_first_line(error)}") from None


def _need_pem(text: str, what: str) -> None:
    if not re.search(r"^-----BEGIN [^-]+-----\s*$", text, re.MULTILINE):
        length = len(text.encode())
        reason = f"failed to decode PEM block: decoded bytes 0, undecoded {length}"
        raise Failure(f"Failed to parse {what} PEM: {reason}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def algorithm_of(key: PrivateKey | PublicKey) -> str:
    """Return the official plugin's name of the algorithm of `key`."""
    if isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
        return "RSA"
    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        return "ECDSA"
    return "ED25519"


def request(key: PrivateKey, names: Names) -> tuple[str, str]:
    """Return the id and the PEM of a certificate request for `names`, signed with `key`."""
    builder = x509.CertificateSigningRequestBuilder(_subject(names.subject))
    alternatives = _alternative_names(names)
    if alternatives:
        builder = builder.add_extension(alternatives, critical=False)
    signed = builder.sign(key, _hash_for(key))
    identifier = hashlib.sha1(
        signed.public_bytes(serialization.Encoding.DER), usedforsecurity=False
    ).hexdigest()
    return identifier, signed.public_bytes(serialization.Encoding.PEM).decode()


def self_signed(key: PrivateKey, names: Names, terms: Terms) -> tuple[str, str]:
    """Return the serial number and the PEM of a self-signed certificate of `key`."""
    subject = _subject(names.subject)
    builder = _certificate(key.public_key(), subject, subject, terms)
    if terms.set_authority_key_id:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    return _sign(builder, key, subject, _alternative_names(names))


def signed_by(signer: Signer, asked: x509.CertificateSigningRequest, terms: Terms) -> tuple[str, str]:
    """Return the serial number and the PEM of a certificate for the request `asked`, signed by `signer`."""
    public = asked.public_key()
    issuer = signer.certificate.subject
    if not isinstance(public, PublicKey):
        raise Failure(f"a certificate for a {type(public).__name__} is not supported")
    builder = _certificate(public, asked.subject, issuer, terms)
    authority = _extension(signer.certificate.extensions, x509.SubjectKeyIdentifier)
    if authority and issuer != asked.subject:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False
        )
    alternatives = _extension(asked.extensions, x509.SubjectAlternativeName)
    return _sign(builder, signer.key, asked.subject, alternatives)


_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)


def _extension(extensions: x509.Extensions, kind: type[_ExtensionT]) -> _ExtensionT | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _certificate(
    key: PublicKey, subject: x509.Name, issuer: x509.Name, terms: Terms
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(secrets.randbits(128) or 1)
        .not_valid_before(terms.start)
        .not_valid_after(terms.end)
    )
    uses = set(terms.allowed_uses)
    if uses & KEY_USAGES.keys():
        usage = {name: use in uses for use, name in KEY_USAGES.items()}
        try:
            builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        except ValueError as error:
            raise Failure(f"allowedUses: {error}") from None
    extended = [x509.ObjectIdentifier(oid) for use, oid in EXTENDED_KEY_USAGES.items() if use in uses]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    constraints = x509.BasicConstraints(terms.is_ca, terms.max_path_length if terms.is_ca else None)
    builder = builder.add_extension(constraints, critical=True)
    # Go's x509 always gives a CA a subject key identifier.
    if terms.set_subject_key_id or terms.is_ca:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder


def _sign(
    builder: x509.CertificateBuilder,
    key: PrivateKey,
    subject: x509.Name,
    alternatives: x509.SubjectAlternativeName | None,
) -> tuple[str, str]:
    if alternatives:
        # RFC 5280, 4.2.1.6: critical if the subject is empty.
        builder = builder.add_extension(alternatives, critical=not list(subject))
    certificate = builder.sign(key, _hash_for(key))
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return str(certificate.serial_number), pem


def _hash_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """Return the hash that Go's x509 uses with `key`."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256:
        return hashes.SHA384() if key.key_size == 384 else hashes.SHA512()
    return hashes.SHA256()


def _subject(attributes: Mapping[str, Any] | None) -> x509.Name:
    parts = []
    for name in SUBJECT:
        value = (attributes or {}).get(name) or []
        for text in value if isinstance(value, list) else [value]:
            try:
                parts.append(x509.NameAttribute(_SUBJECT_OIDS[name], text))
            except (TypeError, ValueError) as error:
                raise Failure(f"subject.{name}: {error}") from None
    return x509.Name(parts)


def _alternative_names(names: Names) -> x509.SubjectAlternativeName | None:
    general: list[x509.GeneralName] = []
    for name in names.dns:
        try:
            general.append(x509.DNSName(name))
        except ValueError:
            raise Failure(f'Invalid DNS name: "{name}" is not ASCII; give it in its "xn--" form') from None
    for address in names.ip:
        try:
            general.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            raise Failure(f'Invalid IP address: Failed to parse "{address}"') from None
    for uri in names.uri:
        try:
            urlsplit(uri)
            general.append(x509.UniformResourceIdentifier(uri))
        except ValueError:
            raise Failure(f'Invalid URI: Failed to parse "{uri}"') from None
    return x509.SubjectAlternativeName(general) if general else None
