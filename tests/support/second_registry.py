"""A registry that Slipway did not make, on this machine: with an authority and an account of its own."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import bcrypt

from tests.support.authority import Authority
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
    authority = Authority("the second registry")
    certificate, key = authority.leaf(GATEWAY, timedelta(days=2))
    password = secrets.token_urlsafe(12)
    files = {
        "config.yml": CONFIG.replace("ADDRESS", address),
        "ca.crt": authority.pem,
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
    found = SecondRegistry(address, authority.pem, password, folder)
    try:
        eventually("the second registry answers", found.registry.answers)
        yield found
    finally:
        _remove()
