"""What a push may ask for, and which revisions can be deployed."""

import subprocess
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.push import keys, set_up
from cli.push.deploy import Push, moved, unfit, without_password
from cli.push.receive import wanted
from cli.push.remote import Remote, Settings
from cli.push.repository import Repository
from cli.stack.project import Project
from tests.unit.cli.push.machine import ALICE, BOB, config

OLD, NEW, NONE = "a" * 40, "b" * 40, "0" * 40
SETTINGS = Settings({"main": "dev", "release": "prod"}, {"dev": {"alice": ALICE}, "prod": {"bob": BOB}})
NOWHERE = Repository(Path("/nowhere"))


def test_a_branch_goes_to_its_stack() -> None:
    push = wanted(SETTINGS, [f"{OLD} {NEW} refs/heads/main\n"], keys.fingerprint(ALICE), NOWHERE)
    assert (push.branch, push.stack, push.revision, push.by, push.replaces) == (
        "main",
        "dev",
        NEW,
        "alice",
        OLD,
    )
    first = wanted(SETTINGS, [f"{NONE} {NEW} refs/heads/release\n"], keys.fingerprint(BOB), NOWHERE)
    assert (first.stack, first.by, first.replaces) == ("prod", "bob", "")


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        ([f"{OLD} {NEW} refs/heads/feature"], ALICE, "refs/heads/feature is not deployed to any stack"),
        ([f"{NONE} {NEW} refs/tags/main"], ALICE, "refs/tags/main is not deployed to any stack"),
        ([f"{NONE} {NEW} main"], ALICE, "main is not deployed to any stack"),
        (
            [f"{OLD} {NEW} refs/heads/main", f"{NONE} {NEW} refs/tags/v1"],
            ALICE,
            "deploys one branch, and nothing",
        ),
        ([], ALICE, "deploys one branch, and nothing"),
        ([f"{OLD} {NONE} refs/heads/main"], ALICE, "main is what runs in the stack dev, and stays"),
        ([f"{OLD} {NEW} refs/heads/release"], ALICE, "this key is no operator's of the stack prod"),
        ([f"{OLD} {NEW} refs/heads/main"], BOB, "this key is no operator's of the stack dev"),
    ],
)
def test_what_else_a_push_asks_for_is_refused(lines: list[str], key: str, message: str) -> None:
    with pytest.raises(CommandError) as refused:
        wanted(SETTINGS, lines, keys.fingerprint(key), NOWHERE)
    assert message in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("replaces", "now", "is_late"),
    [
        (OLD, OLD, False),
        ("", "", False),
        (None, OLD, False),
        (OLD, NEW, True),
        ("", OLD, True),
        (OLD, "", True),
    ],
)
def test_a_push_that_is_too_late(replaces: str | None, now: str, is_late: bool) -> None:
    push = Push("main", "dev", NEW, "alice", NOWHERE, replaces)
    assert bool(moved(push, now)) == is_late


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("true", ""),
        ("git rm -qf slip", "has no `slip`"),
        ("git update-index --chmod=-x slip", "has no `slip`"),
        ("git rm -qf Pulumi.dev.yaml", "has no Pulumi.dev.yaml"),
        ("rm Pulumi.dev.yaml && ln -s /etc/passwd Pulumi.dev.yaml && git add .", "has no Pulumi.dev.yaml"),
        ("mkdir .slipway && touch .slipway/x && git add .", "has .slipway or .venv in it"),
        ("ln -s /etc .slipway && git add .", "has .slipway or .venv in it"),
        ("ln -s /etc .venv && git add .", "has .slipway or .venv in it"),
    ],
)
def test_a_revision_that_cannot_be_deployed(tmp_path: Path, change: str, message: str) -> None:
    (tmp_path / "slip").write_text("#!/bin/sh\n")
    (tmp_path / "slip").chmod(0o755)
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    commit = "git -c user.name=x -c user.email=x commit -qm x"
    script = f"git init -q && git add . && {change} && {commit} && git rev-parse HEAD"
    done = subprocess.run(["sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    refused = unfit(Push("main", "dev", done.stdout.strip(), "alice", Repository(tmp_path / ".git")))
    assert bool(refused) == bool(message)
    assert refused is None or (message in refused[0] and refused[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (config(alice=ALICE), ""),
        ("config: {}\n", "has no password for hosts"),
        (
            "config:\n  slipway:passwords: {hosts: x}\n  slipway:registry: {users: [ci]}\n",
            "has no password for ci",
        ),
        (
            "config:\n  slipway:passwords: {hosts: x}\n  slipway:services: {db: {backup: {}}}\n",
            "has no password for the backups",
        ),
        ("config: {", ""),  # `up` says it with line and key
    ],
)
def test_what_up_would_add_to_the_configuration_is_in_git_first(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: slipway\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(text)
    refused = without_password(tmp_path, "dev")
    assert bool(refused) == bool(message)
    assert refused is None or message in refused[0]


@pytest.mark.parametrize(
    ("branch", "stack", "message", "status"),
    [
        ("../main", "dev", "no name of a branch", 2),
        ("-x", "dev", "no name of a branch", 2),
        ("a//b", "dev", "no name of a branch", 2),
        ("main.lock", "dev", "no name of a branch", 2),
        ("main/", "dev", "no name of a branch", 2),
        ("main", "nothing", "Pulumi.nothing.yaml is missing", 2),
        ("main", "a/b", "no name of a stack", 2),
        ("next", "dev", "pushes to main deploy the stack dev already", 3),
    ],
)
def test_what_cannot_be_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, branch: str, stack: str, message: str, status: int
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: slipway\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(config(alice=ALICE))
    remote = Remote(Project(tmp_path))
    if branch == "next":
        set_up.add(remote, "main", "dev")
    with pytest.raises(CommandError) as refused:
        set_up.add(remote, branch, stack)
    assert message in refused.value.message
    assert refused.value.status == status
    assert remote.settings.branches == ({"main": "dev"} if branch == "next" else {})


def test_a_stack_without_operators_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "Pulumi.yaml").write_text("name: slipway\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(config())
    set_up.add(Remote(Project(tmp_path)), "main", "dev")
    assert "Pulumi.dev.yaml has no operators, so nobody else may push" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (tmp_path / "home").exists()
