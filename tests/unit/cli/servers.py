"""Servers on this machine, their certificates, and the outputs of a stack that they belong to."""

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh

from cli.running.registry_api import RegistryApi, RegistryEndpoint
from cli.running.stack import RunningStack
from tests.support.authority import Authority

PASSWORD = "the-password-of-alice"
HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")


@contextmanager
def serving(
    answer: Callable[[http.server.BaseHTTPRequestHandler], tuple[int, str, dict[str, str]]],
    context: ssl.SSLContext | None = None,
) -> Iterator[int]:
    """An HTTP server on 127.0.0.1; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, headers = answer(self)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.do_GET()

        def do_HEAD(self) -> None:
            status, body, headers = answer(self)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if context:
        # The handshake runs in the connection's own thread, where a refused client disturbs no other.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def server_context(authority: Authority, tmp_path: Path, client_ca: str = "") -> ssl.SSLContext:
    """TLS for a server on 127.0.0.1, which asks for client certificates if it is given their authority."""
    return server_context_of(*authority.leaf(), tmp_path, client_ca)


def server_context_of(certificate: str, key: str, tmp_path: Path, client_ca: str = "") -> ssl.SSLContext:
    """TLS for a server with this certificate and this key, PEM."""
    files = (tmp_path / "certificate.pem", tmp_path / "key.pem")
    files[0].write_text(certificate)
    files[1].write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_ca)
    return context


def outputs(authority: Authority, **more: Any) -> dict[str, Any]:
    certificate, key = authority.leaf()
    return {
        "registryAddress": "yard:5000",
        "registryPublicAddress": "127.0.0.1:1",
        "registryCaCertificate": authority.pem,
        "registryAccounts": ["hosts", "alice"],
        "registryPasswords": {"alice": PASSWORD},
        "hosts": {
            "yard": {
                "roles": ["registry"],
                "address": "127.0.0.1",
                "sshPort": 1,
                "sshUser": "root",
                "sshHostKey": HOST_KEY.export_public_key().decode(),
            }
        },
        "sshPrivateKey": HOST_KEY.export_private_key().decode(),
        "engineEndpoints": {"yard": "tcp://127.0.0.1:1"},
        "engineCaCertificate": authority.pem,
        "engineClientCertificate": certificate,
        "engineClientKey": key,
        "images": {"web": f"yard:5000/web@sha256:{'0' * 64}"},
        "serviceUrls": {"web": ["http://127.0.0.1:1"]},
        "serviceHealthPaths": {"web": "/up"},
        **more,
    }


@contextmanager
def engine(authority: Authority, tmp_path: Path, *, mutual: bool) -> Iterator[RunningStack]:
    context = server_context(authority, tmp_path, authority.pem if mutual else "")
    with serving(lambda _: (200, '{"Version": "20"}', {}), context) as port:
        yield RunningStack.of(outputs(authority, engineEndpoints={"yard": f"tcp://127.0.0.1:{port}"}))


def api_of(port: int, authority: Authority, *, mode: str = "own") -> RegistryApi:
    """A client of the registry on this port."""
    return RegistryApi(RegistryEndpoint(f"127.0.0.1:{port}", authority.pem, ("alice", PASSWORD), mode=mode))
