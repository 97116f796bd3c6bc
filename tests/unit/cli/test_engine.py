"""Where a client of the operator's own Docker Engine connects."""

import hashlib
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.running.engine import connected


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"ApiVersion": "1.99"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An engine at a socket in the user's home, which the docker command's context names."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    address = f"unix://{tmp_path}/docker.sock"
    context = tmp_path / "contexts" / "meta" / hashlib.sha256(b"desktop-linux").hexdigest()
    context.mkdir(parents=True)
    (context / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": address}}}))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "desktop-linux"}))
    with socketserver.ThreadingUnixStreamServer(f"{tmp_path}/docker.sock", _Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield address
        server.shutdown()


@pytest.mark.parametrize("is_named", [True, False])
def test_the_operators_engine_is_the_one_that_the_plugins_use(
    desktop: str, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    if is_named:
        monkeypatch.setenv("DOCKER_HOST", desktop)
        monkeypatch.setenv("DOCKER_CONTEXT", "default")
    with connected("", timeout=5) as engine:
        assert engine.api_version == "1.99"
        assert engine.base_url == "http+docker://localhost"
