"""Backups of the state: made and read by restic itself, without hosts; Pulumi is a recorder."""

import json
import os
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli import backups
from cli.errors import CommandError
from cli.running.backup import StateBackups
from cli.running.stack import Failed, RunningStack
from cli.stack import state_backup
from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.stack import Stack
from cli.verify.found import Warned
from cli.verify.state import is_backed_up
from tests.support import restic
from tests.support.object_store import object_store

URN = "urn:pulumi:local::slipway::pulumi:pulumi:Stack::slipway-local"


class Pulumi:
    """Pulumi with a state, which `stack init` makes and `stack import` replaces."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.state: dict[str, Any] | None = None
        self.secrets: dict[str, str] = {"BACKUP_PASSWORD_STATE": "the-password-of-the-state"}

    def lose(self) -> None:
        self.state = None

    def read(self, *arguments: str, stdin: str | None = None) -> str:
        match arguments[:2]:
            case ("config", "get"):
                return f"{self.secrets[arguments[-1].removeprefix('slipway:secrets.')]}\n"
            case ("stack", "export"):
                assert "--show-secrets" not in arguments
                return json.dumps(self.state)
            case ("stack", "import"):
                assert stdin
                self.state = json.loads(stdin)
        return ""

    def attempt(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        exists = self.state is not None
        if arguments[:2] == ("stack", "init"):
            self.state = {"version": 3, "deployment": None}
        return subprocess.CompletedProcess(arguments, 0 if exists or arguments[1] == "init" else 1, "", "")


def deployed(count: int) -> dict[str, Any]:
    """A state with so many resources."""
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:a:b"}
    resources = [{"urn": f"{URN}{number}", "outputs": {"key": secret}} for number in range(count)]
    return {"version": 3, "deployment": {"resources": resources}}


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pulumi:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{restic.quick(tmp_path / 'bin').parent}:{os.environ['PATH']}")
    return Pulumi()


def make(tmp_path: Path, pulumi: Pulumi, to: dict[str, str]) -> Stack:
    clone = tmp_path / "clone"
    clone.mkdir(exist_ok=True)
    (clone / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    secrets = {name: {"secure": "v1:x"} for name in pulumi.secrets}
    config = {"config": {"slipway:stateBackup": {"keep": 3, "to": to}, "slipway:secrets": secrets}}
    project = Project(clone)
    project.config_file("local").write_text(json.dumps(config))
    # A backend without files, which Pulumi is asked for.
    return Stack(project, "local", Backend("s3://state"), pulumi)  # type: ignore[arg-type]


def test_a_lost_state_comes_back_as_it_was(
    tmp_path: Path, pulumi: Pulumi, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "backups").mkdir()
    stack = make(tmp_path, pulumi, {"path": str(tmp_path / "backups")})
    pulumi.state = deployed(3)
    assert backups.backup(stack, "state", new=False) == 0
    (first,) = backups.parse(state_backup.listed(stack))
    assert first.what == "3 resources"
    pulumi.state = deployed(5)
    state_backup.after_update(stack)
    assert "5 resources" in capsys.readouterr().err
    assert backups.drill(stack, "state") == 0

    pulumi.lose()
    assert backups.restore(stack, "state", None, yes=True) == 0
    assert pulumi.state == deployed(5)
    # An earlier one takes the place of the state of now, which is kept.
    assert backups.restore(stack, "state", first.id, yes=True) == 0
    assert pulumi.state == deployed(3)
    (kept,) = (stack.project.private / "backups").glob("local-*.json")
    assert json.loads(kept.read_text()) == deployed(5)

    # Its disk is another one: nothing begins anew by itself, and an update is done all the same.
    (tmp_path / "backups").rename(tmp_path / "away")
    capsys.readouterr()
    state_backup.after_update(stack)
    assert "the state was not backed up: there is no directory" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "backups").mkdir()
    with pytest.raises(CommandError, match="cannot be read"):
        state_backup.back_up(stack)
    state_backup.back_up(stack, new=True)


def test_a_bucket_is_reached_by_its_key_only(
    tmp_path: Path, pulumi: Pulumi, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store() as store:
        pulumi.secrets |= {"ID": store.key_id, "KEY": store.key}
        stack = make(tmp_path, pulumi, {"s3": f"{store.bucket}/x", "keyId": "ID", "key": "KEY"})
        pulumi.state = deployed(2)
        called: list[tuple[list[str], dict[str, str]]] = []
        run = subprocess.run

        def record(words: list[str], **options: Any) -> Any:
            called.append(([str(word) for word in words], options.get("env") or {}))
            return run(words, **options)

        monkeypatch.setattr(subprocess, "run", record)
        state_backup.back_up(stack)
        assert len(backups.parse(state_backup.listed(stack))) == 1
        told = json.dumps(called)
        assert not any(secret in told for secret in pulumi.secrets.values())
        pulumi.secrets["KEY"] = "not-the-key"
        with pytest.raises(CommandError, match="signature"):
            state_backup.back_up(stack)
        pulumi.secrets["KEY"] = store.key
        with pytest.raises(CommandError, match="no bucket of this name"):
            state_backup.back_up(
                make(tmp_path, pulumi, {"s3": f"{store.url}/none", "keyId": "ID", "key": "KEY"})
            )
    with pytest.raises(CommandError, match="does not answer"):
        state_backup.back_up(stack)


def test_an_update_backs_up_what_was_written_since_the_last_backup(tmp_path: Path, pulumi: Pulumi) -> None:
    (tmp_path / "backups").mkdir()
    stack = make(tmp_path, pulumi, {"path": str(tmp_path / "backups")})
    pulumi.state = deployed(3)
    stack = replace(stack, backend=Backend.in_directory(tmp_path / "state"))
    written = tmp_path / "state/.pulumi/stacks/slipway/local.json"
    written.parent.mkdir(parents=True)
    written.write_text("{}")
    assert state_backup.is_behind(stack)
    state_backup.back_up(stack)
    assert not state_backup.is_behind(stack)
    os.utime(written, (time.time() + 60, time.time() + 60))
    # To look at them is no backup.
    assert state_backup.last(stack)
    assert state_backup.is_behind(stack)


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("last", "changed", "outcome"),
    [
        (NOW, NOW - timedelta(days=400), "passes"),
        (NOW - timedelta(days=400), NOW - timedelta(days=401), "passes"),
        (NOW - timedelta(days=400), None, "passes"),
        (NOW - timedelta(days=3), NOW - timedelta(hours=29), "warns"),
        (None, NOW - timedelta(hours=1), "warns"),
        (NOW - timedelta(days=3), NOW - timedelta(hours=31), "fails"),
        (None, NOW - timedelta(hours=31), "fails"),
    ],
)
def test_verify_tells_that_the_state_has_changed_since_its_backup(
    last: datetime | None, changed: datetime | None, outcome: str
) -> None:
    running = RunningStack({}, state_backups=StateBackups(lambda: last, changed))
    if outcome == "fails":
        with pytest.raises(Failed, match="the state was changed 1 d ago"):
            is_backed_up(running, "state")
        return
    found = is_backed_up(running, "state")
    assert isinstance(found, Warned) == (outcome == "warns"), found


def test_backups_of_another_machine_are_no_failure() -> None:
    def away() -> datetime | None:
        raise CommandError("there is no directory /mnt/backups")

    found = is_backed_up(RunningStack({}, state_backups=StateBackups(away, NOW)), "state")
    assert isinstance(found, Warned)
    assert "/mnt/backups" in found


def test_a_stack_without_such_backups_says_how_to_get_them(tmp_path: Path, pulumi: Pulumi) -> None:
    stack = make(tmp_path, pulumi, {})
    with pytest.raises(CommandError, match="neither path nor s3"):
        state_backup.back_up(stack)
    stack.config_file.write_text("{}")
    with pytest.raises(CommandError, match="no backups") as error:
        backups.backup(stack, "state", new=False)
    assert "slipway:stateBackup" in str(error.value.remedy)
