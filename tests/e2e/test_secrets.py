"""Private keys and passwords are only where they have to be. The tests look for the actual values.

They run last, so that they see the output of every other test's commands.
"""

import contextlib
import json
import re
import signal
from base64 import b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.e2e.conftest import FirstUp
from tests.support.command import Command
from tests.support.docker_command import docker
from tests.support.stack import Stack

pytestmark = pytest.mark.place("last")

PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----\n(.+?)\n-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL
)


@pytest.fixture(scope="module")
def secrets(first_up: FirstUp) -> dict[str, str]:
    """The stack's secrets: the description of each, by a text that occurs in that secret only."""
    stack = first_up.stack
    found: dict[str, str] = {}
    for text in _texts(stack.state_with_secrets()):
        for match in PRIVATE_KEY.finditer(text):
            found |= dict.fromkeys(_private_lines(match[0] + "\n", match[2]), f"{match[1]}private key")
    for account, password in stack.outputs()["registryPasswords"].items():
        found[password] = f"password of {account}"
    found[(stack.clone.root / ".slipway/passphrase").read_text().strip()] = "passphrase"
    return found


def _texts(value: Any) -> Iterable[str]:
    """Every text in a state, and in its secrets, which are JSON in a text."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
        if isinstance(value.get("plaintext"), str):
            yield from _texts(json.loads(value["plaintext"]))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _private_lines(pem: str, body: str) -> Iterable[str]:
    """The lines of a private key that hold the private number. The others are public, or the same in all keys."""
    key: object
    if "OPENSSH" in pem:
        key = serialization.load_ssh_private_key(pem.encode(), None)
    else:
        key = serialization.load_pem_private_key(pem.encode(), None)
    if isinstance(key, EllipticCurvePrivateKey):
        # OpenSSH's format leaves out zeros at the start of a number, which one number in 256 has.
        secret = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big").lstrip(b"\0")
    else:
        assert isinstance(key, Ed25519PrivateKey), f"a key of a type that this test does not know: {key}"
        secret = key.private_bytes_raw()
    start = b64decode(body).index(secret)
    first, last = start * 4 // 3, (start + len(secret)) * 4 // 3
    position = 0
    for line in body.splitlines():
        if min(last, position + len(line)) - max(first, position) >= 12:  # shorter texts occur by chance
            yield line
        position += len(line)


def _leaks(secrets: dict[str, str], text: str) -> set[str]:
    return {what for secret, what in secrets.items() if secret in text}


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
    assert _leaks(secrets, exported) == set()


def test_nothing_that_was_ever_printed_has_one(stack: Stack, secrets: dict[str, str]) -> None:
    assert stack.clone.printed
    for output in stack.clone.printed:
        assert _leaks(secrets, output) == set()


def test_process_list_had_none_during_the_first_up(first_up: FirstUp, secrets: dict[str, str]) -> None:
    watched = first_up.processes
    assert any("pulumi\nup\n" in line for line in watched.command_lines), "the watch has not seen the CLI"
    for line in watched.command_lines:
        assert _leaks(secrets, line) == set(), line


def test_only_the_program_had_passwords_in_its_environment(
    first_up: FirstUp, secrets: dict[str, str]
) -> None:
    """Pulumi passes the configuration to the program in variables, which only the program's user can read."""
    for process, environment in first_up.processes.environments.items():
        kept = [line for line in environment.split("\n") if not line.startswith("PULUMI_CONFIG=")]
        assert _leaks(secrets, "\n".join(kept)) == set(), process


def test_containers_show_none(stack: Stack, secrets: dict[str, str]) -> None:
    hosts = stack.traces()["container"]
    assert len(hosts) == 3
    assert _leaks(secrets, docker("inspect", *hosts)) == set()
    for host in ("yard", "web-1", "web-2"):
        inside = stack.on_host(host, "docker", "ps", "--all", "--quiet").split()
        assert inside
        assert _leaks(secrets, stack.on_host(host, "docker", "inspect", *inside)) == set()
        assert _leaks(secrets, docker("logs", stack.container(host))) == set()


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
                str(path): _leaks(keys, path.read_text(errors="replace"))
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
        if path.is_file() and _leaks(secrets, path.read_text(errors="replace"))
    }
    assert holders == {Path(".slipway/passphrase")}
