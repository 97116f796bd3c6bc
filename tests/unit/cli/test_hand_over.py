"""What a command prints on one host is what a command on another host reads, or that one notices."""

import asyncio
import random
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.running import ssh
from cli.running.ssh import CommandResult
from tests.plugins.ssh_server import SSHServer


@pytest.fixture
def server() -> Iterator[SSHServer]:
    found = SSHServer()
    yield found
    found.close()


def hand_over(server: SSHServer, gives: str, takes: str) -> tuple[CommandResult, list[str]]:
    outputs: dict[str, Any] = {
        "sshPrivateKey": server.client_key,
        "hosts": {
            "box": {
                "address": "127.0.0.1",
                "sshPort": server.port,
                "sshUser": "root",
                "sshHostKey": server.host_key,
            }
        },
    }
    lines: list[str] = []
    handed = ssh.hand_over((outputs, "box", gives), (outputs, "box", takes), lines.append)
    return asyncio.run(asyncio.wait_for(handed, 120)), lines


def test_all_of_it_comes_as_it_was(server: SSHServer, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3_000_000)
    (given := tmp_path / "given").write_bytes(content)
    taken = tmp_path / "taken"
    result, lines = hand_over(
        server,
        f"cat {shlex.quote(str(given))}",
        f"gzip -dc >{shlex.quote(str(taken))}; echo ended with $?; echo äöü",
    )
    assert (result.status, lines) == (0, ["ended with 0", "äöü"])
    assert taken.read_bytes() == content


def test_what_is_missing_is_noticed(server: SSHServer) -> None:
    result, lines = hand_over(
        server,
        "echo half of it; echo it is damaged >&2; exit 3",
        "gzip -dc >/dev/null 2>&1; echo ended with $?",
    )
    assert (result.status, result.stderr) == (3, "it is damaged\n")
    assert lines == ["ended with 1"]


def test_one_that_wants_no_more_ends_the_other(server: SSHServer) -> None:
    result, lines = hand_over(server, "exec cat /dev/zero", "echo no room; exit 9")
    assert result.status == -1
    assert lines == ["no room"]
