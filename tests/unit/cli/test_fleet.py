"""All hosts are asked at once, and one that gives no answer is named with the reason."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import asyncssh
import pytest

from cli.errors import CommandError
from cli.running import fleet, ssh
from cli.running.host_report import HostReport
from tests.plugins.ssh_server import SSHServer

OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture(scope="module")
def server() -> Iterator[SSHServer]:
    server = SSHServer()
    yield server
    server.close()


def _outputs(server: SSHServer, **ports: Any) -> dict[str, Any]:
    """Hosts by name, each with its port, or with more facts."""
    usual = {"address": "127.0.0.1", "sshUser": "root", "sshHostKey": server.host_key, "roles": ["app"]}
    hosts = {
        name.replace("_", "-"): usual | (facts if isinstance(facts, dict) else {"sshPort": facts})
        for name, facts in ports.items()
    }
    return {"hosts": hosts, "sshPrivateKey": server.client_key}


def _ask(outputs: dict[str, Any], **options: Any) -> dict[str, HostReport]:
    # In a thread of its own: it leaves none an event loop, which Pulumi's mocks want here.
    with ThreadPoolExecutor() as pool:
        return pool.submit(fleet.ask, outputs, **options).result()


@contextmanager
def _listener(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            connection, _ = listening.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def _fingerprint(line: str) -> str:
    return str(asyncssh.import_public_key(line).get_fingerprint())


def _wait(ended: threading.Event) -> None:
    ended.wait(30)


def test_a_host_answers_over_ssh(server: SSHServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    script = tmp_path / "report.sh"
    script.write_text(
        'main() { printf "clock\\t%s\\nunit\\tactive\\nend\\n" "$EPOCHREALTIME"; }\nmain </dev/null\n'
    )
    monkeypatch.setattr(fleet, "SCRIPT", script)
    seen: list[HostReport] = []
    reports = _ask(_outputs(server, web_1=server.port, web_2=server.port), answered=seen.append)
    assert list(reports) == ["web-1", "web-2"]
    assert all(report.answers and report.engine_unit == "active" for report in reports.values())
    assert sorted(report.host for report in seen) == ["web-1", "web-2"]


def test_hosts_that_give_no_answer_are_named_all_at_once(
    server: SSHServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "CONNECT_PATIENCE", 1.0)
    ended = threading.Event()
    other = OTHER_KEY.export_public_key().decode()
    with (
        # As a paused container: the connection is accepted, and nothing answers.
        _listener(lambda _: _wait(ended)) as silent,
        _listener(lambda connection: connection.close()) as closing,
    ):
        outputs = _outputs(
            server,
            paused=silent,
            also_paused=silent,
            closing=closing,
            off=1,
            stranger={"sshPort": server.port, "sshHostKey": other},
        )
        started = time.monotonic()
        reports = _ask(outputs)
        seconds = time.monotonic() - started
        ended.set()
    # One after the other they would take more than twice the patience.
    assert seconds < 1.9
    assert {name: report.silence for name, report in reports.items()} == {
        "paused": f"SSH at 127.0.0.1:{silent} gives no answer within 1 s",
        "also-paused": f"SSH at 127.0.0.1:{silent} gives no answer within 1 s",
        "closing": f"SSH at 127.0.0.1:{closing} closes the connection",
        "off": "SSH at 127.0.0.1:1 refuses connections",
        "stranger": (
            f"SSH at 127.0.0.1:{server.port} presents another host key than the stack's: "
            f"{OTHER_KEY.get_fingerprint()} was expected, {_fingerprint(server.host_key)} came"
        ),
    }
    # Nobody else is taken for it.
    assert [name for name, report in reports.items() if report.has_foreign_key] == ["stranger"]


def test_a_host_key_of_another_kind_is_a_foreign_key_too(server: SSHServer) -> None:
    other = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    line = other.export_public_key().decode()
    report = _ask(_outputs(server, web={"sshPort": server.port, "sshHostKey": line}))["web"]
    assert report.has_foreign_key
    assert f"{other.get_fingerprint()} was expected, {_fingerprint(server.host_key)} came" in report.silence


def test_a_foreign_key_has_a_remedy_of_its_own(server: SSHServer) -> None:
    outputs = _outputs(
        server, web={"sshPort": server.port, "sshHostKey": OTHER_KEY.export_public_key().decode()}
    )
    with ThreadPoolExecutor() as pool, pytest.raises(CommandError) as raised:
        pool.submit(ssh.run, outputs, "web", "true").result()
    assert "presents another host key" in str(raised.value)
    assert "./slip forget web && ./slip up" in raised.value.remedy


def test_a_key_that_is_refused_is_said(server: SSHServer) -> None:
    outputs = _outputs(server, web=server.port) | {"sshPrivateKey": OTHER_KEY.export_private_key().decode()}
    assert _ask(outputs)["web"].silence == f"SSH at 127.0.0.1:{server.port} refuses the stack's key for root"


def test_a_script_that_hangs_is_ended(
    server: SSHServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    script = tmp_path / "report.sh"
    script.write_text("sleep 1.5\n")
    monkeypatch.setattr(fleet, "SCRIPT", script)
    monkeypatch.setattr(fleet, "PATIENCE", 0.5)
    assert _ask(_outputs(server, web=server.port))["web"].silence == "the command takes longer than 0.5 s"
    time.sleep(1.2)  # the server has its end still to see
