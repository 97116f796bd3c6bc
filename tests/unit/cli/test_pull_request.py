"""What `preview` leaves for a pull request, and what `up --approved` refuses."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app as command_line
from cli.errors import CommandError
from cli.forge.address import GITHUB
from cli.stack.project import Project
from cli.stack.stack import Stack
from cli.update import plan as plans
from cli.update import purge, repair, updates
from cli.update.pull_request import Wanted
from cli.update.updates import Update
from tests.unit.cli.forge.forges import TOKEN, Forge, serving
from tests.unit.cli.screen.comment.cases import HERE
from tests.unit.cli.test_updates import Clone

CONFIGURATION = """config:
  slipway:platform: {kind: local}
  slipway:hosts: {web-1: {roles: [app]}}
  slipway:passwords: {hosts: {secure: "v1:a:b"}}
"""
MARK = "<!-- slipway preview slipway/local -->"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    made = Clone(tmp_path)
    made.configure(CONFIGURATION)
    monkeypatch.setattr(updates, "open_stack", lambda *_, **__: made.stack)
    # Where saved plans are looked for, and a stack without a registry.
    monkeypatch.setattr(Project, "here", lambda: made.stack.project)
    monkeypatch.setattr(Stack, "outputs", lambda _: {})
    monkeypatch.setattr(repair, "differences", lambda _: [])
    # It asks this machine's engine, which no unit test needs.
    monkeypatch.setattr(purge, "refuse_taken_name", lambda _: None)
    return made


def happens(clone: Clone, name: str) -> None:
    shutil.copy(HERE / "recorded" / f"{name}.jsonl", clone.root / "events")


def test_a_comment_is_all_of_standard_output(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    happens(clone, "secret-change")
    assert updates.preview("local", (), wanted=Wanted(comment=True)) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{MARK}\n## Preview of `local`\n\n**Nobody notices.**")
    assert said.out.rstrip().endswith("</details>")
    assert clone.calls == ["preview --stack local"]


def test_a_comment_is_posted_and_its_token_goes_no_further(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    happens(clone, "secret-change")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("GITLAB_CI", raising=False)
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/app")
    monkeypatch.setenv("GITHUB_REF", "refs/pull/12/merge")
    with serving(Forge(GITHUB)) as forge:
        monkeypatch.setenv("GITHUB_API_URL", forge.address)
        for _ in range(2):
            monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
            assert updates.preview("local", (), wanted=Wanted(post=True)) == 0
            assert "GITHUB_TOKEN" not in os.environ
        assert [one["body"].partition("\n")[0] for one in forge.comments] == [MARK]
    said = capsys.readouterr()
    assert said.out == ""
    assert "The comment: http://127.0.0.1" in said.err
    assert TOKEN not in said.err


def test_a_preview_that_fails_replaces_the_comment(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Forge(GITHUB)) as forge:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.delenv("GITLAB_CI", raising=False)
        monkeypatch.setenv("GITHUB_REPOSITORY", "owner/app")
        monkeypatch.setenv("GITHUB_REF", "refs/pull/12/merge")
        monkeypatch.setenv("GITHUB_API_URL", forge.address)
        for status, words in (("0", "**Nobody notices.**"), ("255", "**The preview failed.**")):
            happens(clone, "secret-change")  # with totals, though it failed
            clone.variables["STATUS"] = status
            monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
            updates.preview("local", (), wanted=Wanted(post=True))
            assert len(forge.comments) == 1
            assert words in forge.comments[0]["body"]


def test_a_plan_is_refreshed_saved_and_named(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    happens(clone, "secret-change")
    file = clone.root / "plan.json"
    assert updates.preview("local", (), wanted=Wanted(comment=True, save=str(file))) == 0
    assert clone.calls == ["preview --stack local --refresh"]
    saved, said = plans.read(file), capsys.readouterr()
    assert f"`./slip up --approved {saved.hash}`" in said.out
    assert saved.hash in said.err
    assert saved.images["web"].tag
    assert "topsecret" not in file.read_text()


def approved(clone: Clone, name: str) -> str:
    """The hash of a preview's plan."""
    happens(clone, name)
    file = clone.root / "plan.json"
    assert updates.preview("local", (), wanted=Wanted(save=str(file))) == 0
    (clone.root / "calls").unlink()
    return plans.read(file).hash


@pytest.mark.parametrize("given", ["hash", "file"])
def test_the_approved_plan_is_carried_out_without_a_question(clone: Clone, given: str) -> None:
    wanted = approved(clone, "secret-change")
    what = wanted if given == "hash" else str(clone.root / "plan.json")
    assert updates.up(Update(approved=what)) == 0
    assert clone.calls == [
        "preview --stack local --refresh",
        "up --stack local --yes --skip-preview --refresh",
    ]


@pytest.mark.parametrize("now", ["code-change", "no-change", "host-replacement"])
def test_another_plan_is_refused_and_nothing_runs(clone: Clone, now: str) -> None:
    wanted = approved(clone, "secret-change")
    happens(clone, now)
    with pytest.raises(CommandError) as refused:
        updates.up(Update(approved=wanted))
    assert refused.value.status == 3
    assert "web-web-1 (docker:index/container:Container): made anew" in refused.value.message
    assert clone.calls == ["preview --stack local --refresh"]


def test_drift_on_a_host_is_refused(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = approved(clone, "no-change")
    monkeypatch.setattr(repair, "differences", lambda _: ["yard: /etc/docker/daemon.json differs"])
    with pytest.raises(CommandError, match=r"changed by hand since: yard: /etc/docker/daemon\.json"):
        updates.up(Update(approved=wanted))
    assert not any(call.startswith("up") for call in clone.calls)


def test_a_changed_configuration_is_refused(clone: Clone) -> None:
    wanted = approved(clone, "no-change")
    clone.configure(clone.stack.config_file.read_text().replace("[app]", "[app, build]"))
    with pytest.raises(CommandError, match="configuration: slipway:hosts was changed"):
        updates.up(Update(approved=wanted))


def test_a_preview_that_fails_approves_nothing(clone: Clone) -> None:
    wanted = approved(clone, "secret-change")
    clone.variables["STATUS"] = "255"
    assert updates.up(Update(approved=wanted)) == 1
    assert clone.calls == ["preview --stack local --refresh"]


def test_no_plan_is_made_of_nothing(clone: Clone) -> None:
    with pytest.raises(CommandError, match="neither the hash of a plan nor a file"):
        updates.up(Update(approved="yes"))
    assert clone.calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--comment", "--diff"], "--diff shows Pulumi's own display"),
        (["--save", "x", "--verbose"], "--verbose shows Pulumi's own display"),
        (["--comment", "--pull-request", "https://github.com/a/b/pull/1"], "--pull-request needs --post"),
    ],
)
def test_options_that_do_not_fit(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command_line.app, ["preview", *arguments])
    assert isinstance(result.exception, CommandError)
    assert message in result.exception.message
    assert result.exception.status == 2


def test_the_options_reach_the_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def preview(*_: Any, **options: Any) -> int:
        asked.append(options)
        return 0

    monkeypatch.setattr(updates, "preview", preview)
    arguments = ["--comment", "--post", "--pull-request", "u", "--save", "plan.json"]
    assert CliRunner().invoke(command_line.app, ["preview", *arguments]).exit_code == 0
    assert asked[0]["wanted"] == Wanted(comment=True, post=True, address="u", save="plan.json")


def test_an_issue_is_open_while_the_stack_differs(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    happens(clone, "no-change")
    looks: list[tuple[list[str], str, int, str, str]] = [
        ([], "0", 0, "", ""),
        (
            ["/etc/docker/daemon.json on web-1 was changed"],
            "0",
            1,
            "open",
            "daemon.json on web-1 was changed",
        ),
        ([], "255", 1, "open", "could not be compared"),
        ([], "0", 0, "closed", "**The stack is as its last update left it.**"),
        (["the proxy on web-1 lacks a route"], "0", 1, "open", "lacks a route"),
    ]
    with serving(Forge(GITHUB)) as forge:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.delenv("GITLAB_CI", raising=False)
        monkeypatch.setenv("GITHUB_REPOSITORY", "owner/app")
        monkeypatch.setenv("GITHUB_API_URL", forge.address)
        monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.example")
        monkeypatch.setenv("GITHUB_RUN_ID", "9")
        for differences, of_pulumi, status, state, words in looks:
            monkeypatch.setattr(repair, "differences", lambda _, found=tuple(differences): list(found))
            clone.variables["STATUS"] = of_pulumi
            monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
            assert updates.preview("local", (), wanted=Wanted(issue=True)) == status
            assert "GITHUB_TOKEN" not in os.environ
            assert [one["state"] for one in forge.issues] == ([state] if state else [])
            if state:
                text = forge.issues[0]["body"]
                assert text.startswith("<!-- slipway drift slipway/local -->\n")
                assert MARK not in text
                assert words in text
                assert ("`./slip up --refresh` makes it so again." in text) == bool(differences)
                assert "`https://github.example/owner/app/actions/runs/9`" in text
    assert set(clone.calls) == {"preview --stack local --refresh --expect-no-changes"}
    assert TOKEN not in "".join(capsys.readouterr())


@pytest.mark.parametrize("other", ["--comment", "--post", "--save=plan.json"])
def test_an_issue_goes_with_nothing_else(other: str) -> None:
    result = CliRunner().invoke(command_line.app, ["preview", "--issue", other])
    assert isinstance(result.exception, CommandError)
    assert result.exception.status == 2
