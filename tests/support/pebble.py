"""Pebble, an ACME authority that makes mistakes on purpose, and what it asks: name servers and hosts."""

import json
import os
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
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


Texts = Callable[[str], Sequence[str]]
"""The TXT records of a name."""
_A, _TXT = b"\x00\x01", b"\x00\x10"


def _no_texts(_: str) -> Sequence[str]:
    return ()


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
    folder: Path,
    http_port: int,
    *,
    variables: Mapping[str, str] | None = None,
    texts: Texts = _no_texts,
    **settings: Any,
) -> Iterator[Pebble]:
    """Run Pebble. Every name leads to 127.0.0.1 for it.

    Args:
        folder: an empty one for its files.
        http_port: where it asks for the answers to its challenges.
        variables: environment variables with its faults.
        texts: the TXT records of a name.
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
    with name_server(texts) as resolver, (folder / "pebble.log").open("w") as log:
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
def name_server(texts: Texts = _no_texts) -> Iterator[str]:
    """A name server for which every name has the address 127.0.0.1, and these TXT records. Gives its address."""

    class Server(ThreadingTCPServer):
        daemon_threads = True

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            # Pebble asks by TCP, where a length is ahead of each message.
            while length := self.rfile.read(2):
                answer = _answer(self.rfile.read(int.from_bytes(length)), texts)
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


def _answer(query: bytes, texts: Texts) -> bytes:
    end = query.index(0, 12) + 5
    question, kind = query[12:end], query[end - 4 : end - 2]
    found = []
    if kind == _A:
        found = [b"\x7f\x00\x00\x01"]
    elif kind == _TXT:
        labels, rest = [], question
        while length := rest[0]:
            labels.append(rest[1 : length + 1].decode())
            rest = rest[length + 1 :]
        found = [bytes([len(text)]) + text.encode() for text in texts(".".join(labels).lower())]
    records = (b"\xc0\x0c" + kind + b"\x00\x01\x00\x00\x00\x3c" + len(one).to_bytes(2) + one for one in found)
    counts = b"\x00\x01" + len(found).to_bytes(2) + b"\x00\x00\x00\x00"
    return query[:2] + b"\x85\x80" + counts + question + b"".join(records)


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
