"""Pebble, an ACME authority that makes mistakes on purpose, and what it asks: name servers and hosts."""

import json
import os
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer, ThreadingTCPServer
from typing import Any

from tests.support.authority import Authority
from tests.support.waiting import ANSWER, eventually
from toolchain import cache, go, versions

PACKAGE = "github.com/letsencrypt/pebble/v2/cmd/pebble"
BLOCKED = "blocked.test"
"""A name that it signs for nobody."""
EAB = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W")
"""The external account that it knows, if it wants one."""


def program() -> Path:
    """Pebble's path; built from its Go module if it is missing."""
    target = cache.root() / "pebble" / versions.PEBBLE / "pebble"
    if not target.is_file():
        with cache.lock("pebble", lambda _: None):
            if not target.is_file():
                go.build("pebble", PACKAGE, target, version=versions.PEBBLE)
    return target


@dataclass(frozen=True)
class Pebble:
    """A running Pebble."""

    directory: str
    """URL of its directory."""
    ca: str
    """The authority of its own certificate, PEM."""
    management: str

    def issuer(self) -> str:
        """The root of the certificates that it signs, PEM."""
        context = ssl.create_default_context(cadata=self.ca)
        with urllib.request.urlopen(f"{self.management}/roots/0", timeout=ANSWER, context=context) as answer:
            return str(answer.read().decode())


@contextmanager
def pebble(
    folder: Path, http_port: int, *, variables: Mapping[str, str] | None = None, **settings: Any
) -> Iterator[Pebble]:
    """Run Pebble. Every name leads to 127.0.0.1 for it.

    Args:
        folder: an empty one for its files.
        http_port: where it asks for the answers to its challenges.
        variables: environment variables with its faults.
        settings: more of its configuration.
    """
    authority = Authority("pebble")
    certificate, key = authority.leaf("127.0.0.1")
    (folder / "cert.pem").write_text(certificate)
    (folder / "key.pem").write_text(key)
    ports = _free_ports(2)
    configuration = {
        "listenAddress": f"127.0.0.1:{ports[0]}",
        "managementListenAddress": f"127.0.0.1:{ports[1]}",
        "certificate": str(folder / "cert.pem"),
        "privateKey": str(folder / "key.pem"),
        "httpPort": http_port,
        "tlsPort": 1,
        "domainBlocklist": [BLOCKED],
        "retryAfter": {"authz": 1, "order": 1},
        "keyAlgorithm": "ecdsa",
        "profiles": {"default": {"description": "90 days", "validityPeriod": 7776000}},
        **settings,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": configuration}))
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", **(variables or {})}
    with name_server() as resolver, (folder / "pebble.log").open("w") as log:
        process = subprocess.Popen(
            [program(), "-config", folder / "pebble.json", "-dnsserver", resolver],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually("Pebble", lambda: _answers(ports[0]) and _answers(ports[1]))
            base = f"https://127.0.0.1:{ports[0]}"
            yield Pebble(f"{base}/dir", authority.pem, f"https://127.0.0.1:{ports[1]}")
        finally:
            process.terminate()
            process.wait(ANSWER)


@contextmanager
def name_server() -> Iterator[str]:
    """A name server for which every name has the address 127.0.0.1, and no other record. Gives its address."""

    class Server(ThreadingTCPServer):
        daemon_threads = True

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            # Pebble asks by TCP, where a length is ahead of each message.
            while length := self.rfile.read(2):
                answer = _record(self.rfile.read(int.from_bytes(length)))
                self.wfile.write(len(answer).to_bytes(2) + answer)

    with _serving(Server(("127.0.0.1", 0), Handler)) as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def _serving(server: TCPServer) -> Iterator[int]:
    with server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()


def _record(query: bytes) -> bytes:
    end = query.index(0, 12) + 5
    question, kind = query[12:end], query[end - 4 : end - 2]
    found = (
        b"\xc0\x0c" + kind + b"\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01"
        if kind == b"\x00\x01"
        else b""
    )
    count = b"\x00\x01" if found else b"\x00\x00"
    return query[:2] + b"\x85\x80\x00\x01" + count + b"\x00\x00\x00\x00" + question + found


@contextmanager
def responder(thumbprint: str) -> Iterator[int]:
    """A host whose proxy answers challenges by the thumbprint of an account's key. Gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{self.path.rpartition('/')[2]}.{thumbprint}".encode())

        def log_message(self, *_: object) -> None:
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield port


def _free_ports(count: int) -> list[int]:
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return ports


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), ANSWER).close()
    except OSError:
        return False
    return True
