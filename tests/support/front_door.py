"""HAProxy with the configuration that a host's scripts render, in front of servers of a test, without a stack."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from components import script
from components.engine import LOG_DRIVER, LOG_OPTIONS
from components.proxy import MEMORY_MIB
from tests.support.waiting import eventually
from well_known import PROXY_IMAGE, PROXY_SETTINGS_PATH

INSIDE = "/usr/local/etc/haproxy"


class App(ThreadingHTTPServer):
    """A service's container: it answers with what it was asked, and keeps that."""

    def __init__(self) -> None:
        # It keeps its connections, as HAProxy does.
        handler = type("Handler", (_Handler,), {"protocol_version": "HTTP/1.1"})
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        """Method, path, headers in lower case, and body of each request."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """The proxy has given up on an answer, as it should."""


class _Handler(BaseHTTPRequestHandler):
    server: App

    def _answer(self) -> None:
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.command, self.path, headers, body))
        if self.path.startswith("/slow"):
            time.sleep(2)
        answer = json.dumps(headers).encode()
        self.send_response(502 if self.path == "/own-502" else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class FrontDoor:
    """A running HAProxy."""

    def __init__(
        self, root: Path, name: str, routes: Mapping[str, tuple[str, str]], apps: Mapping[str, App | int]
    ) -> None:
        """A proxy that does not run yet.

        Args:
            root: a folder in place of the host's own.
            name: of the container.
            routes: the service and the options of each route, by its key.
            apps: what answers as each service, or the port of something that does not.
        """
        self.root, self.name, self._routes, self._apps = root, name, routes, apps
        self.port, self.tls_port, self.metrics_port = _free_port(), _free_port(), _free_port()
        self.settings = root / PROXY_SETTINGS_PATH.strip("/")
        self.settings.mkdir(parents=True)
        for folder in (root, *self.settings.relative_to(root).parents):
            (root / folder).chmod(0o755)

    def bring(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file on the host, by its path there."""
        file = self.root / path.strip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.chmod(0o755)
        file.write_text(text)
        file.chmod(mode)

    def rendered(self) -> str:
        """The configuration that the scripts make, with ports of this machine."""
        records, targets, known = [], [], []
        folder = self.root / "etc/slipway/routes"
        folder.mkdir(parents=True, exist_ok=True)
        for key, (service, options) in self._routes.items():
            app = self._apps[service]
            port = app.server_address[1] if isinstance(app, App) else app
            (folder / key).write_text(f"{service}-1 {port} 30 10 {options}\n")
            records.append(key)
            known.append(f"service_of[{service}-1]={service}")
            targets.append(f"$(backend_of '{key}') {service}-1 127.0.0.1 {port}")
        functions = script.text("switch.sh").removesuffix('main "$@"\n')
        assert not functions.endswith('"$@"\n')
        text = functions.replace("/etc/slipway/", f"{self.root}/etc/slipway/")
        targets_text = "\n".join(targets)
        result = subprocess.run(
            ["/bin/bash", "-s"],
            input=f'{text}\n{"; ".join(known)}\nconfiguration "{targets_text}"\n',
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        bound = result.stdout.replace("bind :80", f"bind 127.0.0.1:{self.port}")
        bound = bound.replace("bind 127.0.0.1:8404", f"bind 127.0.0.1:{self.metrics_port}")
        return bound.replace("bind :443", f"bind 127.0.0.1:{self.tls_port}")

    def __enter__(self) -> "FrontDoor":
        (self.settings / "haproxy.cfg").write_text(self.rendered())
        (self.settings / "haproxy.cfg").chmod(0o644)
        # A run that was killed leaves it.
        _docker("rm", "--force", self.name)
        _docker(
            *("run", "--detach", "--name", self.name, "--network", "host", "--memory", f"{MEMORY_MIB}m"),
            *("--log-driver", LOG_DRIVER),
            *(word for option in LOG_OPTIONS.items() for word in ("--log-opt", "=".join(option))),
            *("--volume", f"{self.settings}:{INSIDE}:ro", "--cap-drop", "ALL", PROXY_IMAGE),
            *("haproxy", "-W", "-db", "-f", f"{INSIDE}/haproxy.cfg"),
        )
        try:
            eventually("HAProxy listens", self._listens, 30)
        except AssertionError as error:
            said = _docker("logs", self.name)
            self.__exit__(None, None, None)
            raise AssertionError(said) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _docker("rm", "--force", self.name)

    def _listens(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 5):
            return True

    def said(self, request: bytes, *, patience: float = 5) -> bytes:
        """All that comes back for these bytes, until the proxy closes the connection or is silent for so long."""
        with socket.create_connection(("127.0.0.1", self.port), patience) as connection:
            connection.sendall(request)
            found = b""
            try:
                while part := connection.recv(65536):
                    found += part
            except (TimeoutError, ConnectionResetError):
                pass
            return found

    def ask(
        self, path: str, name: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers in lower case, and body of one request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {name}", "Connection: close"]
        lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
        answer = self.said("\r\n".join([*lines, "", ""]).encode(), patience=30)
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        found = {key.lower(): value for key, _, value in (line.partition(": ") for line in rest)}
        return int(first.split()[1]), found, body.decode()

    def log(self) -> list[dict[str, Any]]:
        """The access log."""
        return [json.loads(line) for line in _docker("logs", self.name).splitlines() if line.startswith("{")]


def _docker(*words: str) -> str:
    result = subprocess.run(
        ["docker", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    if words[0] != "rm":
        assert result.returncode == 0, result.stdout
    return result.stdout


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
