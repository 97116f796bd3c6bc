"""Plugins that the fork server forks behave like plugins that start by themselves."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from plugins.start import fork_server
from plugins.start.client import address, peer
from tests.support.waiting import PATIENCE

MAIN = Path(fork_server.__file__).with_name("main.py")
OUR_OWN = """
import os, sys
sys.path.insert(0, {root!r})
from plugins.start.client import run_in_fork_server
from plugins.start.fork_server import start_from_plugin

def serve(arguments, cli_ends):
    print(arguments, os.getcwd(), os.environ.get("COLOUR"), os.getpgrp(), flush=True)
    print(arguments, "fails", file=sys.stderr, flush=True)
    if arguments == ["raises"]:
        raise RuntimeError("as asked")
    sys.stdin.read()
    os._exit(0)

run_in_fork_server(sys.argv[1:])
print("imports", flush=True)
start_from_plugin([], serve)
serve(sys.argv[1:], None)
"""

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="the fork server needs pidfds, which are Linux's"
)

Started = subprocess.Popen[str]
Start = Callable[..., Started]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program as the engine starts a plugin: in its own process group, with pipes."""
    started: list[Started] = []
    # To the plugins this process is the CLI. It outlives the test, so the test must end its fork server.
    _end_fork_server(os.getpid())

    def run(*command: str, **options: object) -> Started:
        process: Started = subprocess.Popen(  # type: ignore[call-overload]
            [sys.executable, "-I", "-S", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            **options,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    _end_fork_server(os.getpid())


def _end_fork_server(cli: int) -> None:
    def gone() -> bool:
        with socket.socket(socket.AF_UNIX) as link:
            with contextlib.suppress(OSError):
                link.bind(address(cli))
                return True
            with contextlib.suppress(ConnectionRefusedError, ProcessLookupError):
                link.connect(address(cli))
                os.kill(peer(link), signal.SIGKILL)
            return False

    _eventually(gone)


def _has_fork_server(cli: int) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        return link.connect_ex(address(cli)) == 0


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _line(process: Started) -> str:
    assert process.stdout
    return process.stdout.readline().rstrip("\n")


def _answers(port: str) -> bool:
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    with contextlib.closing(channel):
        grpc.channel_ready_future(channel).result(timeout=PATIENCE)
        return True


def _imported_grpc(process: Started) -> bool:
    return "cygrpc" in Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.parametrize("second", ["tls", "command", "docker", "aws"])
def test_the_second_plugin_is_forked(start: Start, second: str) -> None:
    first = start(str(MAIN), "tls", "127.0.0.1:1")
    assert _answers(_line(first))
    assert _imported_grpc(first)
    forked = start(str(MAIN), second, "127.0.0.1:1")
    assert _answers(_line(forked))
    assert not _imported_grpc(forked), "it serves itself"


def test_the_first_plugin_is_forked_if_the_fork_server_is_ready(start: Start) -> None:
    ready = start(str(MAIN), "fork-server", str(os.getpid()))
    _eventually(lambda: _has_fork_server(os.getpid()))
    late = start(str(MAIN), "fork-server", str(os.getpid()))
    assert late.wait(timeout=PATIENCE) == 0, "the CLI has a fork server already"
    first = start(str(MAIN), "docker", "127.0.0.1:1")
    assert _answers(_line(first))
    assert not _imported_grpc(first), "it serves itself"
    assert ready.poll() is None


def test_a_plugin_does_not_wait_for_a_fork_server_that_is_not_ready(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "fork_server.py"
    script.write_text(
        f"import os, sys\nsys.path.insert(0, {str(MAIN.parents[2])!r})\n"
        "from plugins.start.fork_server import start_for_cli\n"
        "def prepare():\n    print('prepares', flush=True)\n    sys.stdin.read()\n"
        f"start_for_cli({os.getpid()}, prepare, [], print)\n"
    )
    busy = start(str(script))
    assert _line(busy) == "prepares"
    plugin = start(str(MAIN), "tls", "127.0.0.1:1")
    assert _answers(_line(plugin))
    assert _imported_grpc(plugin)
    busy.kill()


def test_without_the_fork_server_every_plugin_starts_by_itself(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_FORK_SERVER", "off")
    assert start(str(MAIN), "fork-server", str(os.getpid())).wait(timeout=PATIENCE) == 0, "it is switched off"
    for name in ("tls", "docker"):
        plugin = start(str(MAIN), name, "127.0.0.1:1")
        assert _answers(_line(plugin))
        assert _imported_grpc(plugin), "another process serves"
    assert not _has_fork_server(os.getpid())


def test_a_plugin_that_is_switched_off_leaves_a_fork_server_alone(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    _line(start(str(MAIN), "tls", "127.0.0.1:1"))
    assert _has_fork_server(os.getpid())
    monkeypatch.setenv("SLIPWAY_FORK_SERVER", "off")
    plugin = start(str(MAIN), "tls", "127.0.0.1:1")
    assert _answers(_line(plugin))
    assert _imported_grpc(plugin), "another process serves"


@pytest.mark.parametrize("interrupt", [os.kill, os.killpg])
def test_an_interrupt_ends_one_plugin_and_no_other(
    start: Start, interrupt: Callable[[int, int], None]
) -> None:
    first, second, third = (start(str(MAIN), "tls", "127.0.0.1:1") for _ in range(3))
    ports = [_line(first), _line(second), _line(third)]
    interrupt(second.pid, signal.SIGINT)
    assert second.wait(timeout=PATIENCE) == 0
    assert _answers(ports[0])
    assert _answers(ports[2])
    with pytest.raises(grpc.FutureTimeoutError):
        grpc.channel_ready_future(grpc.insecure_channel(f"127.0.0.1:{ports[1]}")).result(timeout=0.5)


def test_many_interrupts_end_a_plugin_like_one(start: Start) -> None:
    for _ in range(5):
        _line(start(str(MAIN), "tls", "127.0.0.1:1"))
        plugin = start(str(MAIN), "tls", "127.0.0.1:1")
        _line(plugin)
        while plugin.poll() is None:
            os.killpg(plugin.pid, signal.SIGINT)
        assert plugin.returncode == 0


def test_the_end_of_the_first_plugin_does_not_end_the_others(start: Start) -> None:
    first = start(str(MAIN), "tls", "127.0.0.1:1")
    _line(first)
    second = start(str(MAIN), "tls", "127.0.0.1:1")
    port = _line(second)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert _answers(port)


def test_the_fork_server_closes_the_first_plugins_streams(start: Start) -> None:
    first = start(str(MAIN), "tls", "127.0.0.1:1")
    _line(first)
    os.killpg(first.pid, signal.SIGKILL)
    # Returns only when no process holds the pipes.
    assert first.communicate(timeout=PATIENCE) == ("", "")


def test_a_forked_plugin_has_what_it_was_started_with(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "plugin.py"
    script.write_text(OUR_OWN.format(root=str(MAIN.parents[2])))
    first = start(str(script), "one")
    assert _line(first) == "imports"
    _line(first)
    second = start(str(script), "two", "words", cwd=tmp_path, env={"COLOUR": "rød\n=x"})
    assert _line(second) == f"['two', 'words'] {tmp_path} rød"
    assert _line(second) == f"=x {second.pid}"
    assert second.communicate("end") == ("", "['two', 'words'] fails\n")


def test_a_forked_plugin_that_fails_says_so(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "plugin.py"
    script.write_text(OUR_OWN.format(root=str(MAIN.parents[2])))
    first = start(str(script), "one")
    _line(first)
    second = start(str(script), "raises")
    assert "RuntimeError: as asked" in second.communicate(timeout=PATIENCE)[1]


def test_a_plugin_starts_by_itself_if_the_fork_server_does_not_answer(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "plugin.py"
    script.write_text(OUR_OWN.format(root=str(MAIN.parents[2])))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address(os.getpid()))
        listener.listen()
        plugin = start(str(script), "one")
        link, _ = listener.accept()
        link.close()
        assert _line(plugin) == "imports"
        assert _line(plugin).startswith("['one']")


def test_all_end_with_the_cli(start: Start, tmp_path: Path) -> None:
    cli = start(
        "-c",
        "import subprocess, sys\n"
        "for _ in range(3):\n"
        f"    plugin = subprocess.Popen([sys.executable, '-I', '-S', {str(MAIN)!r}, 'tls', '127.0.0.1:1'],\n"
        "                              stdout=subprocess.PIPE, text=True, process_group=0)\n"
        "    print(plugin.stdout.readline().strip(), flush=True)\n"
        "sys.stdin.read()\n",
    )
    ports = [_line(cli) for _ in range(3)]
    assert _has_fork_server(cli.pid)
    cli.kill()
    cli.wait()
    _eventually(lambda: not _has_fork_server(cli.pid))
    for port in ports:
        _eventually(lambda port=port: _refuses(int(port)))  # type: ignore[misc]


def _refuses(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) != 0
