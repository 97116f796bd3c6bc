"""`slip stacks`: what a backend says of each stack, also without its passphrase, in a table that fits."""

import json
import os
import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from cli import console
from cli.environments import stacks
from cli.environments.summary import LastUpdate, Summary
from cli.errors import CommandError
from cli.stack import processes
from cli.stack.backend import Backend
from cli.stack.file_lock import user_name
from cli.stack.project import Project
from cli.update.message import with_author

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SALT = "v1:BZ8XW1wFoNw=:v1:UXI0rL0pgzZnVYOv:WM4KH0vZ8P9DFdKhLKT6zqoZ5aZWNQ=="
URN = "urn:pulumi:up::slipway::"


def state(**outputs: Any) -> dict[str, Any]:
    certificate = {"custom": True, "type": "tls:index/locallySignedCert:LocallySignedCert"}
    return {
        "secrets_providers": {"type": "passphrase", "state": {"salt": SALT}},
        "resources": [
            {
                "urn": f"{URN}pulumi:pulumi:Stack::slipway-up",
                "type": "pulumi:pulumi:Stack",
                "outputs": outputs,
            },
            *(
                {**certificate, "urn": f"{URN}tls::{end}", "outputs": {"validityEndTime": end}}
                for end in ("2027-11-27T10:00:00Z", "2026-12-07T10:00:00+00:00")
            ),
        ],
    }


@pytest.fixture
def backend(project: Project, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A file backend with the stacks up, which was updated twice, and empty; the clone has files for up and planned."""
    monkeypatch.setattr(os, "environ", {**os.environ})
    found = Backend.of(project, os.environ)
    pulumi = project.private / "state" / ".pulumi"
    (pulumi / "stacks" / "slipway").mkdir(parents=True)
    for name, content in (("up", state(platform="local")), ("empty", {})):
        path = pulumi / "stacks" / "slipway" / f"{name}.json"
        path.write_text(json.dumps({"checkpoint": {"latest": content}}))
        path.with_name(f"{name}.json.bak").write_text("{}")
        path.with_name(f"{name}.json.attrs").write_text("{}")
    history = pulumi / "history" / "slipway" / "up"
    history.mkdir(parents=True)
    for number, message in ((9, "Say it"), (10, "alice@yard, commit 0123456789ab-dirty")):
        entry = {
            "kind": "update",
            "result": "succeeded",
            "startTime": 1_795_000_000 + number,
            "message": message,
        }
        (history / f"up-{number}.history.json").write_text(json.dumps(entry))
        (history / f"up-{number}.history.json.attrs").write_text("{}")
        (history / f"up-{number}.checkpoint.json").write_text("{}")
    (history / "up-11.history.json").write_text("")  # of a killed write
    for name in ("up", "planned"):
        project.config_file(name).write_text("config:\n  slipway:platform: {kind: aws}\n")
    return found


def by_name(project: Project, backend: Backend) -> dict[str, Summary]:
    return {each.name: each for each in stacks.summaries(project, backend)}


def test_what_runs_comes_from_the_backend_and_not_from_the_file(project: Project, backend: Backend) -> None:
    found = by_name(project, backend)
    assert sorted(found) == ["empty", "local", "planned", "up"]
    assert found["up"].platform == "local"
    assert found["up"].certificates_end == "2026-12-07T10:00:00+00:00"
    assert found["up"].last_update == LastUpdate(
        "update", "succeeded", "2026-11-18T11:06:50+00:00", "alice@yard"
    )
    assert found["planned"].notes == ("not made yet",)
    assert found["empty"].notes == ("no Pulumi.empty.yaml here", "nothing is up")


def test_a_missing_passphrase_is_said_in_its_row(project: Project, backend: Backend) -> None:
    found = by_name(project, backend)
    assert found["up"].notes == ("its passphrase is missing",)
    project.passphrase_file.write_text("another")
    assert by_name(project, backend)["up"].notes == ("the passphrase is another one",)


def test_a_state_that_cannot_be_read_hides_no_other(project: Project, backend: Backend) -> None:
    path = backend.state_file(project.name, "empty")
    assert path
    path.write_text("{")
    found = by_name(project, backend)
    assert found["empty"].notes[0].startswith("its state cannot be read")
    assert found["up"].last_update


class Pulumi:
    """The CLI with a backend that has two stacks, one of which it cannot export."""

    def read(self, *arguments: str) -> str:
        if arguments[:2] == ("stack", "ls"):
            return json.dumps([{"name": "team/slipway/up"}, {"name": "team/slipway/locked"}])
        name = arguments[arguments.index("--stack") + 1]
        if name != "team/slipway/up":
            raise CommandError("pulumi stack export: no access")
        if arguments[1] == "export":
            return json.dumps({"version": 3, "deployment": state(platform="aws")})
        entry = {
            "kind": "update",
            "result": "failed",
            "startTime": "2026-11-18T11:06:50.000Z",
            "message": "a@b",
        }
        return json.dumps([entry])


def test_a_backend_without_files_is_asked_by_the_cli(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "pulumi_of", lambda *_: Pulumi())
    found = by_name(project, Backend("s3://states"))
    assert sorted(found) == ["local", "locked", "up"]
    assert found["up"].platform == "aws"
    assert found["up"].last_update == LastUpdate("update", "failed", "2026-11-18T11:06:50.000Z", "a@b")
    assert found["locked"].notes == ("cannot be read: pulumi stack export: no access",)


@pytest.mark.parametrize(
    ("entry", "by"),
    [
        ({"message": "bob@host", "environment": {"git.author": "Eve"}}, "bob@host"),
        ({"message": "Write to bob@host", "environment": {"git.author": "Eve\x1b[1m"}}, "Eve[1m"),
        ({"message": "Sold by weight", "environment": {"git.author": "Eve"}}, "Eve"),
        ({"message": "", "environment": {}}, ""),
        ({}, ""),
    ],
)
def test_who_it_was(entry: dict[str, Any], by: str) -> None:
    assert LastUpdate.of(entry).by == by


def test_both_forms_of_a_time_are_read() -> None:
    assert LastUpdate.of({"startTime": 1_795_000_010}).at == "2026-11-18T11:06:50+00:00"
    assert LastUpdate.of({"startTime": "2026-11-18T10:53:30.000Z"}).at == "2026-11-18T10:53:30.000Z"


FOUND = [
    Summary(
        "up",
        "local",
        1,
        LastUpdate("update", "failed", "2026-11-27T10:00:00+00:00", "alice@yard"),
        "2026-12-07T13:00:00+00:00",
    ),
    Summary("planned", "aws", notes=("not made yet",)),
]


@pytest.mark.parametrize("columns", [50, 60, 80, 200])
def test_no_line_is_longer_than_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "width", lambda: columns)
    monkeypatch.setattr(processes, "now", lambda: NOW)
    stacks._show(FOUND, drift=False)
    shown = capsys.readouterr().out
    assert all(len(line) <= columns for line in shown.splitlines())
    for text in ("up", "2 h ago, failed", "alice@yard", "2026-12-07 (in 10 days)", "not made yet"):
        assert text in shown


def test_drift_is_a_column_and_a_status(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Project, "here", classmethod(lambda _: project))
    monkeypatch.setattr(stacks, "summaries", lambda *_: FOUND)
    answers = {"up": "2 resources", "planned": ""}
    monkeypatch.setattr(stacks, "_compared", lambda each: Summary(each.name, drift=answers[each.name]))
    assert stacks.run(drift=True, as_json=True) == 1
    assert [each["drift"] for each in json.loads(capsys.readouterr().out)] == ["2 resources", ""]
    answers["up"] = "none"
    assert stacks.run(drift=True, as_json=True) == 0


def test_a_stack_that_is_not_up_is_not_compared(project: Project) -> None:
    assert stacks._compared(FOUND[1]) is FOUND[1]


def test_an_update_says_in_the_history_who_ran_it(project: Project) -> None:
    expected = f"{user_name()}@{socket.gethostname()}"
    for options in ([], ["--message", "Roll back"], ["-mby eve@elsewhere (today)"]):
        message = with_author(options, project.root)[-1]
        assert LastUpdate.of({"message": message}).by == expected, message
