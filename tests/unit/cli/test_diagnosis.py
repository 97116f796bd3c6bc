"""Which hosts do not answer."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.running.stack import foreign_certificate
from cli.update import diagnosis
from cli.update.diagnosis import Endpoint, Silence

CONTAINER = "docker:index/container:Container"
PREFIX = "urn:pulumi:local::slipway::"


@contextmanager
def accepting(greeting: bytes | None) -> Iterator[int]:
    """A port that takes connections and says `greeting`; None: nothing, as Docker's proxy for a dead container."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                if greeting is None:
                    kept.append(connection)
                else:
                    with connection:
                        connection.sendall(greeting)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            for connection in kept:
                connection.close()


@contextmanager
def tls(tmp_path: Path, *, wants_certificate: bool) -> Iterator[int]:
    """A port behind TLS."""
    files = (tmp_path / "certificate.pem", tmp_path / "key.pem")
    for file, content in zip(files, foreign_certificate(), strict=True):
        file.write_text(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    context.verify_mode = ssl.CERT_REQUIRED if wants_certificate else ssl.CERT_NONE
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                connection, _ = server.accept()
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(1)
            except OSError:
                pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def at(service: str, port: int) -> Endpoint:
    return Endpoint("web-1", service, "127.0.0.1", port)


@pytest.mark.parametrize("wants_certificate", [True, False])
def test_an_engine_answers_by_its_handshake(tmp_path: Path, wants_certificate: bool) -> None:
    with tls(tmp_path, wants_certificate=wants_certificate) as port:
        assert diagnosis.failure(at("engine", port)) == ""


def test_an_ssh_server_answers_by_its_name() -> None:
    with accepting(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        assert diagnosis.failure(at("SSH", port)) == ""


@pytest.mark.parametrize("service", ["engine", "SSH"])
def test_a_closed_port_is_silent(service: str) -> None:
    assert diagnosis.failure(at(service, closed_port())) == "refuses connections"


@pytest.mark.parametrize("service", ["engine", "SSH"])
def test_a_port_that_takes_connections_and_says_nothing_is_silent(service: str) -> None:
    with accepting(None) as port:
        assert diagnosis.failure(at(service, port), patience=0.2) == "gives no answer within 0.2 s"


@pytest.mark.parametrize("service", ["engine", "SSH"])
def test_a_port_that_hangs_up_is_silent(service: str) -> None:
    with accepting(b"") as port:
        assert diagnosis.failure(at(service, port)) in {"closes the connection", "connection reset by peer"}


def host(name: str, **more: Any) -> dict[str, Any]:
    return {
        "urn": f"{PREFIX}{CONTAINER}::{name}",
        "custom": True,
        "type": CONTAINER,
        "outputs": {"name": f"slipway-local-{name}"},
        **more,
    }


def state(engine_port: int, ssh_port: int, *, outputs: bool = True, **of_host: Any) -> dict[str, Any]:
    """One host, web-1, with an engine that something runs on."""
    provider = f"{PREFIX}pulumi:providers:docker::web-1"
    setup = f"{PREFIX}command:remote:Command::web-1-setup"
    facts = {"address": "127.0.0.1", "enginePort": engine_port, "sshPort": ssh_port}
    return {
        "resources": [
            {
                "urn": f"{PREFIX}pulumi:pulumi:Stack::slipway-local",
                "type": "pulumi:pulumi:Stack",
                "outputs": {"hosts": {"web-1": facts, "removed": facts}} if outputs else {},
            },
            host("web-1", **of_host),
            {
                "urn": setup,
                "custom": True,
                "type": "command:remote:Command",
                "deletedWith": f"{PREFIX}{CONTAINER}::web-1",
            },
            {
                "urn": provider,
                "custom": True,
                "type": "pulumi:providers:docker",
                "id": "1",
                "inputs": {"host": f"tcp://127.0.0.1:{engine_port}"},
                "deletedWith": setup,
            },
            {
                "urn": f"{PREFIX}{CONTAINER}::app",
                "custom": True,
                "type": CONTAINER,
                "provider": f"{provider}::1",
                "deletedWith": setup,
            },
        ]
    }


def test_a_dead_host_is_named_with_its_container() -> None:
    engine, ssh = closed_port(), closed_port()
    reasons = (
        f"its engine at 127.0.0.1:{engine} refuses connections",
        f"its SSH at 127.0.0.1:{ssh} refuses connections",
    )
    assert diagnosis.silences(state(engine, ssh)) == (Silence("web-1", reasons, "slipway-local-web-1"),)


def test_a_host_with_a_stopped_engine_is_repaired_and_not_started() -> None:
    engine = closed_port()
    with accepting(b"SSH-2.0\r\n") as ssh:
        (silence,) = diagnosis.silences(state(engine, ssh))
    assert silence.answers_ssh
    text = diagnosis.advice(silence, " -s dev")
    assert "web-1 runs, but its Docker Engine does not answer" in text
    assert "`./slip repair web-1 -s dev` starts it" in text
    assert "docker start" not in text
    assert "forget" not in text


def test_what_is_left_of_a_deleted_host_is_named_by_the_host(capsys: pytest.CaptureFixture[str]) -> None:
    left = state(closed_port(), closed_port())
    left["resources"] = [
        item for item in left["resources"] if not item["urn"].endswith("::web-1") or "id" in item
    ]
    left["resources"][1]["deletedWith"] = ""
    assert diagnosis.report(left, " -s dev")
    assert "`./slip forget web-1 -s dev`" in capsys.readouterr().err


def test_a_live_host_is_not_named(tmp_path: Path) -> None:
    with tls(tmp_path, wants_certificate=True) as engine, accepting(b"SSH-2.0\r\n") as ssh:
        assert diagnosis.silences(state(engine, ssh)) == ()


def test_a_host_is_known_before_the_stack_has_outputs() -> None:
    engine = closed_port()
    (silence,) = diagnosis.silences(state(engine, 1, outputs=False))
    assert silence.reasons == (f"its engine at 127.0.0.1:{engine} refuses connections",)


@pytest.mark.parametrize("of_host", [{"taint": True}, {"delete": True}])
def test_a_host_that_is_going_away_is_not_asked(of_host: dict[str, Any]) -> None:
    assert diagnosis.silences(state(closed_port(), closed_port(), **of_host)) == ()


def test_an_empty_state_has_no_silent_host() -> None:
    assert diagnosis.silences({}) == ()


def test_the_advice_names_host_address_and_both_ways_out() -> None:
    reason = "its engine at 127.0.0.1:23761 refuses connections"
    text = diagnosis.advice(Silence("web-1", (reason,), "slipway-local-web-1"), " -s dev")
    assert f"web-1 does not answer: {reason}." in text
    assert "docker start slipway-local-web-1" in text
    assert "`./slip forget web-1 -s dev`, then `./slip up -s dev`" in text
