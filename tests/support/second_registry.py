"""A registry that Slipway did not make, on this machine: with an authority and an account of its own."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.docker_command import docker
from tests.support.registry import Registry
from tests.support.waiting import eventually

IMAGE = "registry:3.1.1"
NAME = "slipway-e2e-second-registry"
ACCOUNT = "team"
PORT = 5977
SUBNET, GATEWAY = "198.18.59.0/29", "198.18.59.1"
"""A network of its own gives this machine an address that containers of every network reach, and no other machine does.
The range is reserved for tests of networks (RFC 2544), so no host's engine picks it."""

CONFIG = """\
version: 0.1
storage: { filesystem: { rootdirectory: /var/lib/registry } }
http:
  addr: ADDRESS
  secret: a-secret-of-the-second-registry
  tls: { certificate: /etc/distribution/tls.crt, key: /etc/distribution/tls.key }
auth: { htpasswd: { realm: second, path: /etc/distribution/htpasswd } }
"""


@dataclass(frozen=True)
class SecondRegistry:
    """Its address, its authority and its account's password."""

    address: str
    ca: str
    password: str
    folder: Path
    """Its configuration, certificate and accounts."""

    @property
    def registry(self) -> Registry:
        """The registry, for its account."""
        return Registry(self.address, self.ca, (ACCOUNT, self.password))

    @contextmanager
    def open_to_all(self) -> Iterator[None]:
        """Let it answer without an account while the block runs."""
        file = self.folder / "config.yml"
        before = file.read_text()
        file.write_text("".join(line for line in before.splitlines(True) if not line.startswith("auth:")))
        docker("restart", NAME)
        eventually("the second registry answers", self.registry.answers)
        try:
            yield
        finally:
            file.write_text(before)
            docker("restart", NAME)
            eventually("the second registry answers", self.registry.answers)


def _remove() -> None:
    docker("rm", "--force", "--volumes", NAME, check=False)
    docker("network", "rm", NAME, check=False)


@contextmanager
def second_registry(folder: Path) -> Iterator[SecondRegistry]:
    """The second registry, while the block runs."""
    _remove()
    docker("network", "create", "--subnet", SUBNET, "--gateway", GATEWAY, NAME)
    address = f"{GATEWAY}:{PORT}"
    ca, certificate, key = _certificates(GATEWAY)
    password = secrets.token_urlsafe(12)
    files = {
        "config.yml": CONFIG.replace("ADDRESS", address),
        "ca.crt": ca,
        "tls.crt": certificate,
        "tls.key": key,
        "htpasswd": f"{ACCOUNT}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()}\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    # On the host's network, since Docker separates containers of different networks.
    docker(
        *("run", "--detach", "--name", NAME, "--network", "host", "--env", "OTEL_TRACES_EXPORTER=none"),
        *("--volume", f"{folder}:/etc/distribution:ro", IMAGE),
    )
    found = SecondRegistry(address, ca, password, folder)
    try:
        eventually("the second registry answers", found.registry.answers)
        yield found
    finally:
        _remove()


def _certificates(address: str) -> tuple[str, str, str]:
    """An authority, a certificate that it signed, and that certificate's key, PEM."""
    now = datetime.now(UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA of the second registry")])

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType) -> str:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    return (
        signed(authority, authority_key.public_key(), x509.BasicConstraints(ca=True, path_length=0)),
        signed(
            x509.Name([]),
            key.public_key(),
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]),
        ),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )
