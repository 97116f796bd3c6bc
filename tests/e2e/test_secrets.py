"""Private keys and passwords are only where they have to be. The tests look for the actual values.

They run last, so that they see the output of every other test's commands.
"""

import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import FirstUp
from tests.support.command import Command
from tests.support.docker_command import docker
from tests.support.secret_values import leaks, secrets_of
from tests.support.stack import Stack

pytestmark = pytest.mark.place("last")


@pytest.fixture(scope="module")
def secrets(first_up: FirstUp) -> dict[str, str]:
    """The secrets of the stack of three hosts."""
    return secrets_of(first_up.stack)


def test_every_kind_of_secret_is_looked_for(secrets: dict[str, str]) -> None:
    kinds = list(secrets.values())
    # Two authorities, the operator, three engines, the registry; an SSH key and three host keys.
    assert kinds.count("EC private key") >= 7
    assert kinds.count("OPENSSH private key") >= 4
    assert kinds.count("private key") >= 7
    assert {"password of hosts", "password of deploy", "passphrase"} <= set(kinds)


def test_exported_state_has_none(stack: Stack, secrets: dict[str, str]) -> None:
    exported = stack.export()
    assert "ciphertext" in exported
    assert leaks(secrets, exported) == set()


def test_nothing_that_was_ever_printed_has_one(stack: Stack, secrets: dict[str, str]) -> None:
    assert stack.clone.printed
    for output in stack.clone.printed:
        assert leaks(secrets, output) == set()


def test_process_list_had_none_during_the_first_up(first_up: FirstUp, secrets: dict[str, str]) -> None:
    watched = first_up.processes
    assert any("pulumi\nup\n" in line for line in watched.command_lines), "the watch has not seen the CLI"
    for line in watched.command_lines:
        assert leaks(secrets, line) == set(), line


def test_only_the_program_had_passwords_in_its_environment(
    first_up: FirstUp, secrets: dict[str, str]
) -> None:
    """Pulumi passes the configuration to the program in variables, which only the program's user can read."""
    for process, environment in first_up.processes.environments.items():
        kept = [line for line in environment.split("\n") if not line.startswith("PULUMI_CONFIG=")]
        assert leaks(secrets, "\n".join(kept)) == set(), process


def test_containers_show_none(stack: Stack, secrets: dict[str, str]) -> None:
    hosts = stack.traces()["container"]
    assert len(hosts) == 3
    assert leaks(secrets, docker("inspect", *hosts)) == set()
    for host in ("yard", "web-1", "web-2"):
        inside = stack.on_host(host, "docker", "ps", "--all", "--quiet").split()
        assert inside
        assert leaks(secrets, stack.on_host(host, "docker", "inspect", *inside)) == set()
        assert leaks(secrets, docker("logs", stack.container(host))) == set()


class Moments:
    """What a command has reached, as its process shows it."""

    @staticmethod
    def begun(_: Command, __: int) -> bool:
        return True

    @staticmethod
    def connected(_: Command, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return any("socket:" in str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir())
        return False

    @staticmethod
    def printing(command: Command, _: int) -> bool:
        return bool(command.lines)


@pytest.mark.parametrize(
    ("arguments", "moments"),
    [
        (("logs", "web", "--follow"), (Moments.begun, Moments.connected, Moments.printing)),
        (("verify",), (Moments.connected,)),
        (("images",), (Moments.connected,)),
        (("up", "--yes"), (Moments.begun, Moments.connected)),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) else "",
)
def test_a_command_that_is_ended_leaves_none_in_a_file(
    stack: Stack,
    secrets: dict[str, str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    moments: tuple[Any, ...],
) -> None:
    keys = {secret: what for secret, what in secrets.items() if "key" in what}
    places = [tmp_path, Path("/dev/shm"), stack.clone.root / ".slipway"]
    environment = {**stack.clone.environment, "TMPDIR": str(tmp_path)}
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGKILL):
        for moment in moments:
            words = ("./slip", *arguments, "--stack", stack.name)
            command = Command(words, stack.clone.root, environment, stack.clone.printed)
            command.end_at(moment, number)
            left = {
                str(path): leaks(keys, path.read_text(errors="replace"))
                for place in places
                for path in place.rglob("*")
                if path.is_file()
            }
            assert not {path: what for path, what in left.items() if what}, (arguments, number, moment)
    if arguments[0] == "up":
        stack.up()


def test_clone_keeps_them_where_only_its_owner_reads(stack: Stack, secrets: dict[str, str]) -> None:
    private = stack.clone.root / ".slipway"
    assert private.stat().st_mode & 0o077 == 0
    assert (private / "passphrase").stat().st_mode & 0o077 == 0
    holders = {
        path.relative_to(stack.clone.root)
        for path in stack.clone.root.rglob("*")
        if path.is_file() and leaks(secrets, path.read_text(errors="replace"))
    }
    assert holders == {Path(".slipway/passphrase")}
