"""HTTP and TLS for a client that connects directly: no proxy, no redirect, no other certificate authority."""

import contextlib
import http.client
import os
import socket
import ssl
import tempfile
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

PATIENCE = 10
"""Seconds that a response may take."""

Account = tuple[str, str]
"""User name and password."""

ClientCertificate = tuple[str, str]
"""A client certificate, with its intermediate certificates, and its private key: PEM."""


LARGEST_BODY = 8 << 20
"""Bytes of a response that are read: twice as much as distribution takes for a manifest. Who may push may send more."""


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    body: str
    headers: Mapping[str, str]

    def header(self, name: str) -> str:
        """A header's value, empty without one. Header names are case-insensitive (RFC 9110, section 5.1)."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")


def get(
    url: str,
    tls: ssl.SSLContext | None = None,
    account: Account | None = None,
    host: str = "",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """Send one GET request over a connection of its own.

    Args:
        url: the URL, of scheme http or https.
        tls: the TLS settings, for https.
        account: the account for HTTP basic authentication.
        host: the `Host` header, where it is not the URL's host; the server's certificate has to have it, too.
        headers: additional request headers.

    Raises:
        OSError: the connection failed, or TLS refused it.
        http.client.HTTPException: the response is not HTTP.

    """
    parts = urlsplit(url)
    connection = connection_to(
        parts.hostname or "",
        parts.port,
        (tls or ssl.create_default_context()) if parts.scheme == "https" else None,
        host,
    )
    sent = {**headers, **({"Host": host} if host else {})}
    if account:
        sent["Authorization"] = basic_authorization(account)
    try:
        return exchange(connection, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", sent)
    finally:
        connection.close()


class _NamedConnection(http.client.HTTPSConnection):
    """A connection to an address, with a server that is known by a name."""

    def __init__(self, host: str, port: int | None, tls: ssl.SSLContext, name: str) -> None:
        super().__init__(host, port, timeout=PATIENCE, context=tls)
        self._tls, self._name = tls, name

    def connect(self) -> None:
        """Connect, and ask for the name's certificate."""
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)


def connection_to(
    host: str, port: int | None, tls: ssl.SSLContext | None, name: str = ""
) -> http.client.HTTPConnection:
    """A connection that is opened by its first request; plain HTTP without TLS settings.

    Args:
        host: the name or address to connect to.
        port: the port.
        tls: the TLS settings.
        name: the name that the server's certificate is to have, if that is not `host`.

    """
    if tls and name:
        return _NamedConnection(host, port, tls, name)
    if tls:
        return http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=tls)
    return http.client.HTTPConnection(host, port, timeout=PATIENCE)


def exchange(
    connection: http.client.HTTPConnection,
    path: str,
    headers: Mapping[str, str],
    method: str = "GET",
    body: bytes | Iterable[bytes] | None = None,
) -> Response:
    """Send a request over a connection and read the response: all of it, or `LARGEST_BODY`.

    A body that comes in pieces needs its length in the headers.
    """
    connection.request(method, path, headers=dict(headers), body=body)
    response = connection.getresponse()
    read = response.read(LARGEST_BODY).decode(errors="replace")
    if not response.isclosed():
        # What follows is not the next response.
        connection.close()
    return Response(response.status, read, dict(response.headers.items()))


def basic_authorization(account: Account) -> str:
    """The `Authorization` header of HTTP basic authentication."""
    return f"Basic {b64encode(':'.join(account).encode()).decode()}"


def tls_context(ca: str = "", certificate: ClientCertificate | None = None) -> ssl.SSLContext:
    """TLS settings of a client that trusts the given certificate authority only; without one it trusts no server.

    Args:
        ca: the authority, PEM; during a CA rotation, both authorities.
        certificate: the client certificate to present, if any.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        context.load_verify_locations(cadata=ca)
    if certificate:
        with private_files(*certificate) as (certificate_file, key_file):
            context.load_cert_chain(certificate_file, key_file)
    return context


def unverified_tls_context() -> ssl.SSLContext:
    """TLS settings of a client that takes every certificate: for what is no secret and changes nothing."""
    context = tls_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def system_tls_context(ca: str = "") -> ssl.SSLContext:
    """TLS settings of a client that trusts this machine's certificate authorities, and one more (PEM) if given."""
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cadata=ca)
    return context


@contextlib.contextmanager
def private_files(*contents: str) -> Iterator[tuple[Path, ...]]:
    """Files with these contents for this process only, gone at the end of the block, or of the process.

    TLS libraries read private keys from files only, and some read them again for each connection. On Linux the files
    are in memory and have no name, so a process that is killed leaves none. Elsewhere they are temporary files.
    """
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with contextlib.ExitStack() as closing:
            descriptors = [os.memfd_create("slipway") for _ in contents]
            for descriptor, content in zip(descriptors, contents, strict=True):
                os.fchmod(descriptor, 0o600)
                closing.enter_context(os.fdopen(descriptor, "wb", buffering=0)).write(content.encode())
            yield tuple(Path(f"/proc/self/fd/{descriptor}") for descriptor in descriptors)
        return
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        paths = tuple(Path(directory) / f"{index}.pem" for index in range(len(contents)))
        for path, content in zip(paths, contents, strict=True):
            path.touch(mode=0o600)
            path.write_text(content)
        yield paths
