"""The lines of authorized_keys by which people push."""

import shlex
import stat
from pathlib import Path

import asyncssh
import pytest

from cli.push import keys
from cli.push.serve import asked
from tests.unit.cli.push.machine import ALICE, BOB

LAUNCHER = Path('/home/x y/a "quoted" clone/slip')
MARK = keys.mark_of(Path("/clone"))


def test_a_fingerprint_is_that_of_openssh() -> None:
    line = f"{ALICE} alice@laptop"
    assert f"SHA256:{keys.fingerprint(line)}" == asyncssh.import_public_key(line).get_fingerprint()


@pytest.mark.parametrize(
    "line", ["", "ssh-ed25519", "ssh-ed25519 AAA=A", 'command="id" ssh-ed25519 AAAA', f"{ALICE}\nx"]
)
def test_what_is_no_key_gets_no_line(line: str) -> None:
    assert keys.fingerprint(line) == ""
    assert keys.lines([line], LAUNCHER, MARK) == []


def test_a_line_allows_one_command() -> None:
    (line,) = keys.lines([ALICE, f"{ALICE} alice@laptop"], LAUNCHER, MARK)
    options, _, rest = line.partition(" ssh-")
    assert f"ssh-{rest}" == f"{ALICE} {MARK}"
    assert options.startswith('restrict,command="')
    # sshd takes \" for ", and gives the rest to a shell (sshd(8), AUTHORIZED_KEYS).
    command = options.removeprefix('restrict,command="').removesuffix('"').replace('\\"', '"')
    assert shlex.split(command) == [str(LAUNCHER), "git-remote", "serve", keys.fingerprint(ALICE)]


def test_all_other_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / ".ssh/authorized_keys"
    assert keys.write([], MARK, tmp_path) == []
    assert not path.parent.exists()
    mine = keys.lines([ALICE], LAUNCHER, MARK)
    keys.write(mine, MARK, tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    others = f"# mine\nssh-rsa AAAA me\n{mine[0].replace(MARK, keys.mark_of(Path('/other')))}\n"
    path.write_text(others + path.read_text())
    keys.write(keys.lines([BOB], LAUNCHER, MARK), MARK, tmp_path)
    assert path.read_text() == others + keys.lines([BOB], LAUNCHER, MARK)[0] + "\n"
    keys.write([], MARK, tmp_path)
    assert path.read_text() == others


def test_a_key_that_has_a_shell_already_is_told(tmp_path: Path) -> None:
    path = tmp_path / ".ssh/authorized_keys"
    path.parent.mkdir()
    path.write_text(f"{ALICE} alice\n")
    mine = keys.lines([ALICE, BOB], LAUNCHER, MARK)
    assert keys.write(mine, MARK, tmp_path) == [ALICE.split()[1]]


@pytest.mark.parametrize(
    ("original", "command"),
    [
        ("git-receive-pack 'slipway.git'", "git-receive-pack"),
        ("git-receive-pack '/slipway.git'", "git-receive-pack"),
        ("git-upload-pack 'slipway'", "git-upload-pack"),
        ("git-upload-archive 'slipway'", ""),
        ("git-receive-pack '/etc/slipway.git'", ""),
        ("git-receive-pack '../slipway.git'", ""),
        ("git-receive-pack --strict slipway.git", ""),
        ("git-receive-pack 'slipway.git' x", ""),
        ("git-receive-pack 'slipway.git", ""),
        ("bash", ""),
        ("", ""),
    ],
)
def test_one_repository_and_two_commands(original: str, command: str) -> None:
    assert asked(original) == command
