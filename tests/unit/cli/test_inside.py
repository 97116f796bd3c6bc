"""`slip run`, `exec` and `shell`: which host is told what, and what this process passes on."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import inside
from cli.errors import CommandError
from cli.running import terminal
from cli.running.ssh import Unreachable
from tests.plugins.ssh_server import SSHServer
from tests.support.terminal import terminal as terminal_of
from tests.unit.cli.test_maintenance import FakeStack

ROOT = Path(__file__).parents[3]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], bool]]:
    """The host, the words and whether there is a terminal."""
    found: list[tuple[str, list[str], bool]] = []

    def run(_: object, host: str, command: str, *, is_terminal: bool) -> int:
        found.append((host, shlex.split(command), is_terminal))
        return 7

    monkeypatch.setattr(terminal, "run", run)
    return found


def run(service: str, *words: str, host: str | None = None, fresh: bool = True) -> int:
    return inside.run(FakeStack(), service, words, host=host, fresh=fresh)  # type: ignore[arg-type]


def test_a_command_runs_on_the_first_host_of_the_service(told: list[tuple[str, list[str], bool]]) -> None:
    assert run("web", "sh", "-c", "echo 'a  b'") == 7
    assert run("web", "id", host="web-2", fresh=False) == 7
    script = "/usr/local/lib/slipway/switch"
    assert told == [
        ("web-1", [script, "--run", "web", "--", "sh", "-c", "echo 'a  b'"], False),
        ("web-2", [script, "--exec", "web", "--", "id"], False),
    ]


def test_without_a_command_a_job_runs_now(
    told: list[tuple[str, list[str], bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = FakeStack().outputs() | {"serviceSchedules": {"api": "17 3 * * *"}}
    monkeypatch.setattr(FakeStack, "outputs", lambda _: outputs)
    assert run("api") == 7
    assert told == [("web-2", ["/usr/local/lib/slipway/switch", "--run-job-now", "api"], False)]
    with pytest.raises(CommandError, match="web has no schedule by which it runs") as caught:
        run("web")
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("service", "host", "words"),
    [("shop", None, "has no service 'shop'"), ("api", "web-1", "web-1 runs no api")],
)
def test_a_place_that_does_not_exist_is_refused(
    told: list[tuple[str, list[str], bool]], service: str, host: str | None, words: str
) -> None:
    with pytest.raises(CommandError, match=words) as caught:
        run(service, "id", host=host)
    assert (caught.value.status, told) == (2, [])


def test_a_host_without_an_answer_has_a_status_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, is_terminal: bool) -> int:
        raise Unreachable("SSH refuses connections")

    monkeypatch.setattr(terminal, "run", silent)
    with pytest.raises(CommandError, match="web-1 does not answer: SSH refuses connections") as caught:
        run("web", "id")
    assert caught.value.status == 255


@pytest.fixture
def server() -> Iterator[SSHServer]:
    found = SSHServer()
    yield found
    found.close()


def passed_on(server: SSHServer, command: str, given: bytes | Path) -> subprocess.CompletedProcess[bytes]:
    """A process that runs a command over SSH, with this standard input."""
    code = program(server, command)
    options: dict[str, Any] = {"cwd": ROOT, "env": dict(os.environ), "capture_output": True, "timeout": 120}
    if isinstance(given, Path):
        with given.open("rb") as file:
            return subprocess.run([sys.executable, "-c", code], stdin=file, check=False, **options)
    return subprocess.run([sys.executable, "-c", code], input=given, check=False, **options)


def program(server: SSHServer, command: str) -> str:
    """A program that does so."""
    outputs: dict[str, Any] = {
        "sshPrivateKey": server.client_key,
        "hosts": {
            "web-1": {
                "address": "127.0.0.1",
                "sshPort": server.port,
                "sshUser": "root",
                "sshHostKey": server.host_key,
            }
        },
    }
    return (
        f"import sys; from cli.running import terminal; "
        f"sys.exit(terminal.run({outputs!r}, 'web-1', {command!r}, is_terminal=False))"
    )


def test_bytes_and_the_exit_status_come_through(server: SSHServer, tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000
    done = passed_on(server, "cat; echo problem >&2; exit 9", content)
    assert (done.returncode, done.stdout == content, done.stderr) == (9, True, b"problem\n")
    file = tmp_path / "file"
    file.write_bytes(content)
    done = passed_on(server, "cat", file)
    assert (done.returncode, done.stdout == content) == (0, True), done.stderr


def test_a_command_that_reads_nothing_ends_without_its_input(server: SSHServer) -> None:
    assert passed_on(server, "exit 3", b"x" * 5_000_000).returncode == 3


def test_a_terminals_input_comes_line_by_line(server: SSHServer) -> None:
    """A read that waits for more would hold up what has come already."""
    code = program(server, "echo ready; head -n 1; exit 4")
    with terminal_of((sys.executable, "-c", code), ROOT, os.environ) as opened:
        opened.wait_for("ready")
        opened.press(b"hello\n")
        assert opened.wait() == 4, opened.output
