"""Plugins that are forked from a nursery look like plugins that were started."""

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

from plugins.start import fork_server as nursery
from plugins.start.hand_over import address, peer

MAIN = Path(nursery.__file__).with_name("main.py")
OUR_OWN = """
import os, sys
sys.path.insert(0, {root!r})
from plugins.start import fork_server as nursery
from plugins.start.hand_over import hand_over

def serve(arguments):
    print(arguments, os.getcwd(), os.environ.get("COLOUR"), os.getpgrp(), flush=True)
    print(arguments, "fails", file=sys.stderr, flush=True)
    if arguments == ["raises"]:
        raise RuntimeError("as asked")
    sys.stdin.read()
    os._exit(0)

hand_over(sys.argv[1:])
print("imports", flush=True)
nursery.leave([], serve)
serve(sys.argv[1:])
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="nurseries need Linux")

Started = subprocess.Popen[str]
Start = Callable[..., Started]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program as the engine starts a plugin: in a process group of its own, with pipes."""
    started: list[Started] = []
    # The nursery belongs to this process as its "CLI", which goes on: each test shall have one of its own.
    _end_nursery(os.getpid())

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
    _end_nursery(os.getpid())


def _end_nursery(cli: int) -> None:
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


def _has_nursery(cli: int) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        return link.connect_ex(address(cli)) == 0


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _line(process: Started) -> str:
    assert process.stdout
    return process.stdout.readline().rstrip("\n")


def _answers(port: str) -> bool:
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    with contextlib.closing(channel):
        grpc.channel_ready_future(channel).result(timeout=10)
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


def test_the_first_plugin_is_forked_where_a_nursery_is_ready(start: Start) -> None:
    ready = start(str(MAIN), "nursery", str(os.getpid()))
    _eventually(lambda: _has_nursery(os.getpid()))
    late = start(str(MAIN), "nursery", str(os.getpid()))
    assert late.wait(timeout=5) == 0, "there is one already"
    first = start(str(MAIN), "docker", "127.0.0.1:1")
    assert _answers(_line(first))
    assert not _imported_grpc(first), "it serves itself"
    assert ready.poll() is None


def test_a_nursery_that_is_not_ready_yet_is_not_waited_for(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "nursery.py"
    script.write_text(
        f"import os, sys\nsys.path.insert(0, {str(MAIN.parents[2])!r})\n"
        "from plugins.start import fork_server as nursery\n"
        "def prepare():\n    print('prepares', flush=True)\n    sys.stdin.read()\n"
        f"nursery.keep({os.getpid()}, prepare, [], print)\n"
    )
    busy = start(str(script))
    assert _line(busy) == "prepares"
    plugin = start(str(MAIN), "tls", "127.0.0.1:1")
    assert _answers(_line(plugin))
    assert _imported_grpc(plugin)
    busy.kill()


@pytest.mark.parametrize("interrupt", [os.kill, os.killpg])
def test_an_interrupt_ends_it_and_no_other(start: Start, interrupt: Callable[[int, int], None]) -> None:
    first, second, third = (start(str(MAIN), "tls", "127.0.0.1:1") for _ in range(3))
    ports = [_line(first), _line(second), _line(third)]
    interrupt(second.pid, signal.SIGINT)
    assert second.wait(timeout=5) == 0
    assert _answers(ports[0])
    assert _answers(ports[2])
    with pytest.raises(grpc.FutureTimeoutError):
        grpc.channel_ready_future(grpc.insecure_channel(f"127.0.0.1:{ports[1]}")).result(timeout=0.5)


def test_many_interrupts_end_it_like_one(start: Start) -> None:
    for _ in range(5):
        _line(start(str(MAIN), "tls", "127.0.0.1:1"))
        plugin = start(str(MAIN), "tls", "127.0.0.1:1")
        _line(plugin)
        while plugin.poll() is None:
            os.killpg(plugin.pid, signal.SIGINT)
        assert plugin.returncode == 0


def test_the_first_plugins_end_is_not_the_others(start: Start) -> None:
    first = start(str(MAIN), "tls", "127.0.0.1:1")
    _line(first)
    second = start(str(MAIN), "tls", "127.0.0.1:1")
    port = _line(second)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert _answers(port)


def test_nothing_holds_the_first_plugins_streams(start: Start) -> None:
    first = start(str(MAIN), "tls", "127.0.0.1:1")
    _line(first)
    os.killpg(first.pid, signal.SIGKILL)
    # Ends only when nobody has the pipe any more.
    assert first.communicate(timeout=5) == ("", "")


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
    assert "RuntimeError: as asked" in second.communicate(timeout=5)[1]


def test_a_nursery_that_does_not_answer_is_done_without(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "plugin.py"
    script.write_text(OUR_OWN.format(root=str(MAIN.parents[2])))
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address(os.getpid()))
        door.listen()
        plugin = start(str(script), "one")
        link, _ = door.accept()
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
    assert _has_nursery(cli.pid)
    cli.kill()
    cli.wait()
    _eventually(lambda: not _has_nursery(cli.pid))
    for port in ports:
        _eventually(lambda port=port: _refuses(int(port)))  # type: ignore[misc]


def _refuses(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) != 0
