"""Certificates from elsewhere: what clients would refuse is refused before anything is touched."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from configuration.load import validate
from configuration.problems import SettingsError

NOW = datetime.now(UTC)
PASSWORDS = {"hosts": "a-secret-password"}


class Pair(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, password: bytes = b"") -> str:
        encryption: Any = (
            serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        )
        return key_pem(self.key, encryption)


def key_pem(key: Any, encryption: Any = None) -> str:
    found: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )
    return found.decode()


def made(
    name: str, signer: Pair | None = None, *names: str, begin: float = -1, end: float = 90, ca: bool = False
) -> Pair:
    """A certificate by a signer, or by itself. `begin` and `end` are days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=begin))
        .not_valid_after(NOW + timedelta(days=end))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False
        )
    return Pair(builder.sign(signer.key if signer else key, hashes.SHA256()), key)


ROOT = made("a root", ca=True)
MIDDLE = made("an intermediate", ROOT, ca=True)
LEAF = made("shop", MIDDLE, "shop.example.com", "*.example.com")
WHOLE = LEAF.pem + MIDDLE.pem + ROOT.pem


def problems(
    tmp_path: Path,
    certificate: str | None,
    key: str | None,
    domains: tuple[str, ...] = ("shop.example.com", "a.example.com", "*.example.com"),
    **more: Any,
) -> list[str]:
    (tmp_path / "app").mkdir(exist_ok=True)
    (tmp_path / "app/Dockerfile").write_text("FROM scratch\n")
    if certificate is not None:
        (tmp_path / "shop.pem").write_text(certificate)
    tls = {"certificate": "shop.pem", "key": "SHOP_KEY"}
    configuration: dict[str, Any] = {
        "services": {"shop": {"build": {"context": "app"}, "domains": list(domains), "tls": tls} | more},
        "passwords": PASSWORDS,
        "secrets": {"SHOP_KEY": key} if key is not None else {},
    }
    try:
        validate(configuration, tmp_path)
    except SettingsError as error:
        return list(map(str, error.problems))
    return []


def test_a_certificate_with_its_chain_and_its_key_is_accepted(tmp_path: Path) -> None:
    assert problems(tmp_path, WHOLE, LEAF.key_pem()) == []
    alone = made("shop", None, "shop.example.com")
    assert problems(tmp_path, alone.pem, alone.key_pem(), ("shop.example.com",)) == []


EXPIRED = made("shop", ROOT, "shop.example.com", begin=-9, end=-1)
EARLY = made("shop", ROOT, "shop.example.com", begin=2, end=9)
OLD_MIDDLE = made("an old one", ROOT, begin=-9, end=-1, ca=True)
BELOW_OLD = made("shop", OLD_MIDDLE, "shop.example.com")
OLD_ROOT = made("an old root", begin=-9, end=-1, ca=True)
BELOW_OLD_ROOT = made("shop", OLD_ROOT, "shop.example.com")
FOREIGN = made("shop", made("a stranger", ca=True), "shop.example.com")


def test_the_time_of_a_root_does_not_count(tmp_path: Path) -> None:
    """Clients have it themselves, and may trust it for longer."""
    whole = BELOW_OLD_ROOT.pem + OLD_ROOT.pem
    assert problems(tmp_path, whole, BELOW_OLD_ROOT.key_pem(), ("shop.example.com",)) == []


@pytest.mark.parametrize(
    ("certificate", "key", "wrong", "remedy"),
    [
        (WHOLE, ROOT.key_pem(), "is not the key of the certificate in shop.pem", "secret set SHOP_KEY"),
        (EXPIRED.pem + ROOT.pem, EXPIRED.key_pem(), "expired", "renewed"),
        (EARLY.pem + ROOT.pem, EARLY.key_pem(), "not valid before", "Wait"),
        (
            BELOW_OLD.pem + OLD_MIDDLE.pem + ROOT.pem,
            BELOW_OLD.key_pem(),
            'its chain has "an old one", which is expired',
            "gives out now",
        ),
        (
            LEAF.pem,
            LEAF.key_pem(),
            'incomplete: "an intermediate", which signed "shop", is missing',
            "Append",
        ),
        (LEAF.pem + MIDDLE.pem, LEAF.key_pem(), 'incomplete: "a root"', "that root itself"),
        (LEAF.pem + ROOT.pem, LEAF.key_pem(), 'broken: "a root" did not sign "shop"', "first"),
        (WHOLE, LEAF.key_pem(b"secret"), "the key is encrypted", "openssl pkey"),
        (WHOLE, "no key at all", "not a private key", "secret set SHOP_KEY"),
        (WHOLE, None, "slipway:secrets.SHOP_KEY is not set", "secret set SHOP_KEY"),
        (WHOLE, key_pem(ed25519.Ed25519PrivateKey.generate()), "browsers do not take", "RSA or ECDSA"),
        (WHOLE, key_pem(rsa.generate_private_key(65537, 1024)), "1024 bits", "2048"),
        (WHOLE + LEAF.key_pem(), LEAF.key_pem(), "holds a private key", "secrets"),
        ("nothing", LEAF.key_pem(), "holds no certificate", "BEGIN CERTIFICATE"),
        (None, LEAF.key_pem(), "cannot be read", "Name a file"),
    ],
    ids=[
        *(
            "another key",
            "expired",
            "not valid yet",
            "an expired intermediate",
            "no intermediate",
            "no root",
            "a gap",
            "encrypted key",
        ),
        *("no key", "unset key", "Ed25519", "small RSA", "key beside it", "no certificate", "no file"),
    ],
)
def test_what_clients_refuse_is_refused_with_its_remedy(
    tmp_path: Path, certificate: str | None, key: str | None, wrong: str, remedy: str
) -> None:
    (found,) = problems(tmp_path, certificate, key, ("shop.example.com",))
    assert found.startswith("slipway:services.shop.tls.")
    assert wrong in found
    assert remedy in found
    assert "PRIVATE KEY-" not in found


def test_every_name_has_to_be_covered(tmp_path: Path) -> None:
    names = ("shop.example.com", "a.example.com", "a.b.example.com", "other.test", "*.b.example.com")
    (found,) = problems(tmp_path, WHOLE, LEAF.key_pem(), names)
    assert "does not vouch for a.b.example.com, other.test, *.b.example.com" in found


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, EXPIRED.pem, LEAF.key_pem(), ("other.test",))
    assert [text.partition(":")[0] for text in found] == ["slipway"] * 4
    assert len([text for text in found if ".certificate = " in text]) == 3


def test_a_key_that_is_known_as_a_ciphertext_only_is_taken_as_good(tmp_path: Path) -> None:
    from configuration.base import STAND_IN

    assert problems(tmp_path, WHOLE, STAND_IN, ("shop.example.com",)) == []


def test_a_broken_chain_is_told_even_if_its_end_is_trusted(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, FOREIGN.pem + ROOT.pem, FOREIGN.key_pem(), ("shop.example.com",))
    assert "broken" in found
