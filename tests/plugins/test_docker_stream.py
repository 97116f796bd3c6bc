"""Streams of an engine that stalls: told after a while, ended later, and ended at once by Ctrl-C."""

import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from plugins.docker import stream
from plugins.docker.builder import Builder
from plugins.docker.engine import Engine, EngineError
from plugins.docker.progress import Progress
from plugins.docker.stream import StalledError, Watch, watched
from plugins.protocol.messages import Failure
from tests.plugins.docker_engine import Listener

NAME = "r:5000/web:1"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "TELL_SECONDS", 0.3)
    monkeypatch.setattr(stream, "_POLL_SECONDS", 0.05)


class _Handler(http.server.BaseHTTPRequestHandler):
    """An engine whose pulls, pushes and builds stop in the middle."""

    def do_GET(self) -> None:
        missing = self.path.endswith("/json")
        body = b'{"message": "no such image"}' if missing else b"OK"
        self.send_response(404 if missing else 200)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        if "silent" in self.path:
            time.sleep(30)  # not even an answer
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        line = b'{"status": "Downloading", "id": "abc", "progressDetail": {"current": 1}}\n'
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()
        time.sleep(30)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    # Chunks need HTTP/1.1, which is an attribute of the handler's class.
    handler = type("Handler", (_Handler,), {"protocol_version": "HTTP/1.1"})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Engine({"host": f"tcp://127.0.0.1:{server.server_port}"})
    finally:
        server.shutdown()


def watch() -> tuple[Watch, Listener]:
    listener = Listener()
    return Watch(listener, "urn", threading.Event()), listener


@pytest.mark.parametrize("name", [NAME, "r:5000/silent:1"])
def test_a_pull_that_stalls_is_told_and_ended(
    name: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The default of an argument is fixed when the function is made.
    monkeypatch.setattr(watched, "__defaults__", (1.0,))
    watching, listener = watch()
    with pytest.raises(EngineError, match=f"the pull of {name} made no progress for"):
        engine.image(name, watch=watching)
    ((severity, text, ephemeral),) = listener.messages
    assert (severity, ephemeral) == ("warning", False)
    assert text.startswith(f"the pull of {name} has made no progress for")
    assert "Ctrl-C" in text


def test_the_first_ctrl_c_ends_a_pull(engine: Engine) -> None:
    watching, _ = watch()
    threading.Timer(0.3, watching.cancelled.set).start()
    started = time.monotonic()
    with pytest.raises(Failure, match="cancelled"):
        engine.image(NAME, watch=watching)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("what", ["push", "build"])
def test_the_first_ctrl_c_ends_a_push_and_a_build(what: str, engine: Engine, tmp_path: Any) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    listener, cancelled = Listener(), threading.Event()
    builder = Builder(engine, Progress(listener, "urn", cancelled), None)
    threading.Timer(1.0, cancelled.set).start()
    settings = {
        "context": str(tmp_path),
        "dockerfile": str(tmp_path / "Dockerfile"),
        "platform": "linux/amd64",
    }
    with pytest.raises(Failure, match="cancelled"):
        builder.push(NAME) if what == "push" else builder.build(NAME, settings)
    assert any(f"the {what} of {NAME} has made no progress" in text for _, text, _ in listener.messages)


def test_silence_alone_does_not_end_a_build() -> None:
    watching, listener = watch()

    def start() -> Iterator[dict[str, Any]]:
        time.sleep(0.8)
        yield {"stream": "done"}

    assert list(watched(start, "the build", watching, end_seconds=None)) == [{"stream": "done"}]
    assert len(listener.messages) == 1


def test_progress_starts_the_time_again() -> None:
    watching, listener = watch()

    def start() -> Iterator[dict[str, Any]]:
        for number in range(8):
            time.sleep(0.1)
            yield {"status": str(number)}

    assert len(list(watched(start, "the pull", watching, end_seconds=0.5))) == 8
    assert listener.messages == []


def test_errors_reach_the_reader() -> None:
    def start() -> Iterator[dict[str, Any]]:
        yield {}
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        list(watched(start, "the pull", None))

    def silent() -> Iterator[dict[str, Any]]:
        time.sleep(5)
        yield {}

    with pytest.raises(StalledError):
        list(watched(silent, "the pull", None, end_seconds=0.2))


def test_a_repeated_request_is_told_once() -> None:
    listener = Listener()
    progress = Progress(listener, "urn", threading.Event())
    messages = [{"status": f"Retrying in {left} seconds", "id": "abc"} for left in (2, 1, 2, 1)]
    progress.follow(messages)
    told = [text for severity, text, _ in listener.messages if severity == "warning"]
    assert len(told) == 1
    assert "disk" in told[0]
