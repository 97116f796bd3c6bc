"""A Docker Engine's address, a connection to it, and a ping; without the SDK, which is slow to import."""

import contextlib
import http.client
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from plugins.protocol.messages import Failure

DEFAULT_HOST = "unix:///var/run/docker.sock"
USER_SOCKETS = (".docker/run/docker.sock", ".docker/desktop/docker.sock")
"""Docker Desktop's sockets, relative to the user's home."""

CONNECT_TIMEOUT = 15.0
"""Seconds; a handshake with an engine takes far less."""


class Material(NamedTuple):
    """The PEM texts for mutual TLS."""

    authority: str
    certificate: str
    key: str


class Endpoint(NamedTuple):
    """A Docker Engine's address and TLS settings."""

    host: str
    """`unix:///path` or `tcp://host:port`."""
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """The address in the SDK's form."""
        if self.host.startswith("unix://"):
            return "http+unix://" + self.host.removeprefix("unix://")
        return ("https://" if self.tls else "http://") + self.host.removeprefix("tcp://")

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, which opens with its first request."""
        if self.host.startswith("unix://"):
            return _UnixConnection(self.host.removeprefix("unix://"))
        address = urlsplit(self.host)
        host, port = address.hostname or "127.0.0.1", address.port or (2376 if self.tls else 2375)
        if self.tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT, context=self.tls)
        return http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT)

    def ping(self) -> str:
        """Return the newest API version that the engine supports; OSError if no engine answers."""
        connection = self.connect()
        try:
            connection.request("GET", "/_ping")
            response = connection.getresponse()
            response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"the answer is not from a Docker Engine: {error}") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise ConnectionError(f"the answer is HTTP {response.status}")
        return response.getheader("Api-Version", "")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CONNECT_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def candidates(settings: Mapping[str, str]) -> list[Endpoint]:
    """Return the endpoints that a provider's `settings` name, in the order in which to try them."""
    tls = _tls(settings)
    host = settings.get("host") or os.environ.get("DOCKER_HOST")
    if host:
        if not host.startswith(("unix://", "tcp://")):
            raise Failure(
                f"host is {host!r}; Slipway's stand-in plugin reaches engines at unix:///path or tcp://host:port "
                "only: use one of these, or the official plugin"
            )
        return [Endpoint(host, None if host.startswith("unix://") else tls)]
    return [
        Endpoint(DEFAULT_HOST),
        *(Endpoint(f"unix://{Path.home() / path}") for path in USER_SOCKETS if (Path.home() / path).exists()),
    ]


def _tls(settings: Mapping[str, str]) -> ssl.SSLContext | None:
    material = [settings.get(name, "") for name in ("caMaterial", "certMaterial", "keyMaterial")]
    directory = settings.get("certPath") or os.environ.get("DOCKER_CERT_PATH", "")
    if any(material):
        if not all(material):
            raise Failure("certMaterial, keyMaterial, and caMaterial must all be specified")
        if settings.get("certPath"):
            raise Failure("when using raw certificates, certPath must not be specified")
        return tls_context(Material(*material))
    if directory:
        try:
            files = [(Path(directory) / f"{name}.pem").read_text() for name in ("ca", "cert", "key")]
        except OSError as error:
            raise Failure(f"certPath is {directory!r}: {error}") from error
        return tls_context(Material(*files))
    return None


def tls_context(material: Material) -> ssl.SSLContext:
    """Return a context that trusts only `material.authority` and presents `material.certificate`.

    Failure if one of the texts is not PEM, or the key does not match the certificate.
    """
    try:
        context = ssl.create_default_context(cadata=material.authority)
        with _key_file(f"{material.certificate}\n{material.key}\n") as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as error:
        raise Failure(
            f"caMaterial, certMaterial and keyMaterial are not a valid TLS configuration: {error}"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextlib.contextmanager
def _key_file(content: str) -> Iterator[str]:
    """The path of a file with a key for this process only: the ssl module reads keys from files only.

    On Linux it is in memory and has no name, so a plugin that is killed leaves none.
    """
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with open(os.memfd_create("slipway"), "w+") as memory:  # noqa: PTH123 - a descriptor
            os.fchmod(memory.fileno(), 0o600)
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.NamedTemporaryFile("w", prefix="slipway-") as file:  # of mode 0600
        file.write(content)
        file.flush()
        yield file.name
