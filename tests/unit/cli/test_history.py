"""`slip history`, and the message of an update, which it shows."""

import json
import os
import pwd
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.errors import CommandError
from cli.update import history
from cli.update.message import with_author

AUTHOR = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"


@pytest.mark.parametrize(
    ("options", "message", "rest"),
    [
        (["--refresh"], AUTHOR, ["--refresh"]),
        (["--message", "a new  port"], f"a new port ({AUTHOR})", []),
        (["-m", "x", "--diff"], f"x ({AUTHOR})", ["--diff"]),
        (["--message=x"], f"x ({AUTHOR})", []),
        (["-mx"], f"x ({AUTHOR})", []),
        (["--message", ""], AUTHOR, []),
    ],
)
def test_the_author_is_added_to_the_users_own_message(
    tmp_path: Path, options: list[str], message: str, rest: list[str]
) -> None:
    assert with_author(options, tmp_path) == [*rest, "--message", message]


def test_the_environment_does_not_say_who_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME", "HOSTNAME", "SUDO_USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert with_author([], tmp_path)[-1] == AUTHOR


def test_the_commit_and_whether_the_clone_differs_are_said(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        author = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(tmp_path), *author, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "first")
    git("tag", "v9")
    commit = git("rev-parse", "--short=12", "HEAD")
    assert with_author([], tmp_path)[-1] == f"{AUTHOR}, commit {commit}"
    (tmp_path / "file").write_text("2")
    assert with_author([], tmp_path)[-1] == f"{AUTHOR}, commit {commit}-dirty"


def record(version: int, config: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As `pulumi stack history --json --show-secrets` printed one (3.259.0)."""
    return {
        "kind": "update",
        "startTime": f"2026-11-27T20:1{version}:30.000Z",
        "message": "alice@laptop, commit 0123456789ab",
        "environment": {"exec.kind": "cli"},
        "config": config,
        "result": "succeeded",
        "version": version,
        **more,
    }


def value(content: Any, *, secret: bool = False) -> dict[str, Any]:
    return {"value": json.dumps(content), "objectValue": content, "secret": secret}


FIRST = {
    "slipway:registry": value({"users": ["alice"]}),
    "slipway:passwords": value({"hosts": "s3cret-of-hosts", "alice": "s3cret-of-alice"}, secret=True),
    "slipway:protect": {"value": "false", "secret": False},
}
SECOND = {
    "slipway:registry": value({"users": ["alice", "bob"]}),
    "slipway:passwords": value(
        {"hosts": "s3cret-of-hosts", "alice": "s3cret-new", "bob": "s3cret-of-bob"}, secret=True
    ),
    "slipway:operators": value({"bob": "ssh-ed25519 AAAA"}),
}


def test_what_each_update_changed_is_named() -> None:
    newest, oldest = history.entries([record(2, SECOND), record(1, FIRST)])
    assert newest.changed == (
        "operators.bob (added)",
        "passwords.alice (secret)",
        "passwords.bob (secret, added)",
        "protect (removed)",
        "registry.users",
    )
    assert oldest.changed == ()
    assert (newest.time, newest.command) == ("2026-11-27 20:12", "up")


def test_a_mapping_that_loses_its_last_setting_is_no_change_of_its_own() -> None:
    full, empty = SECOND, SECOND | {"slipway:operators": value({})}
    refilled, emptied, _ = history.entries([record(3, full), record(2, empty), record(1, full)])
    assert emptied.changed == ("operators.bob (removed)",)
    assert refilled.changed == ("operators.bob (added)",)
    (without,) = {entry.changed for entry in history.entries([record(2, empty), record(1, FIRST)])[:1]}
    assert "operators (added)" in without


def of(stdout: str, stderr: str = "") -> Any:
    """A stack whose CLI answers with these."""
    done = SimpleNamespace(returncode=1 if stderr else 0, stdout=stdout, stderr=stderr)
    return SimpleNamespace(name="local", option="", pulumi=SimpleNamespace(attempt=lambda *_: done))


@pytest.mark.parametrize("as_json", [False, True])
def test_no_value_is_printed(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    records = [
        record(2, SECOND, message="a\x1b[31m message"),
        record(1, FIRST, kind="destroy", result="failed"),
    ]
    history.run(of(json.dumps(records)), count=10, as_json=as_json)
    printed = capsys.readouterr().out
    assert "passwords.alice (secret)" in printed
    assert "s3cret" not in printed
    assert "\x1b" not in printed


def test_only_as_many_as_asked_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    history.run(of(json.dumps([record(2, SECOND), record(1, FIRST)])), count=1, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2026-11-27 20:12  up       succeeded   alice@laptop, commit 0123456789ab"
    assert lines[1:] == [
        f"    changed: {path}" for path in history.entries([record(2, SECOND), record(1, FIRST)])[0].changed
    ]


def test_records_that_cannot_be_read_show_no_value() -> None:
    with pytest.raises(CommandError, match=r"cannot be read: incorrect passphrase"):
        history.run(of('[{"value": "s3cret"}]', "error: incorrect passphrase"), count=1, as_json=False)
