"""`up`, `preview` and `down`: which Pulumi commands run, and what is printed afterwards."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import console
from cli.errors import CommandError
from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.pulumi_command import PulumiCommand
from cli.stack.stack import LOCAL_STACK, Stack
from cli.update import diagnosis, lost_state, ownership, updates
from cli.update import purge as purging
from cli.update.updates import Update
from tests.unit.cli.screen import recordings
from well_known import state_id

LOCAL = "config: {slipway:platform: {kind: local}, slipway:hosts: {web-1: {roles: [app]}}}\n"
ELSEWHERE = "config: {slipway:platform: {kind: aws}}\n"
PROTECTED = "config: {slipway:protect: true}\n"

CLI = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$1" in
up|destroy|preview)
    cat "$MARKER" > "$SEEN" 2>/dev/null
    events=${*#*--event-log }
    events=${events%% *}
    cat "$EVENTS" > "$events" 2>/dev/null
    [ ! -t 0 ] || echo terminal >> "$CALLS"
    echo "$STDERR" >&2
    exit "$STATUS" ;;
esac
[ "$1 $2" != "stack rm" ] || rm "$STATE"
"""


KEY = "ssh-ed25519 AAAA"
OWN = {
    "slipway.project": "slipway",
    "slipway.stack": "local",
    "slipway.state": state_id(KEY),
    "slipway.clone": "/somewhere",
}
OLD = {"slipway.project": "slipway", "slipway.stack": "local"}
"""The labels that older versions gave."""
FOREIGN = {**OWN, "slipway.state": "f" * 16, "slipway.clone": "/another"}

SSH_KEY: dict[str, Any] = {
    "urn": "urn:pulumi:local::slipway::tls:index/privateKey:PrivateKey::ssh-key",
    "type": "tls:index/privateKey:PrivateKey",
    "custom": True,
    "id": "1",
    "outputs": {"publicKeyOpenssh": f"{KEY}\n"},
}


class Clone:
    """A clone with a stack `local` in a file backend, and a CLI that records its calls."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "Pulumi.yaml").write_text("name: slipway\n")
        self.state_file = root / "state" / ".pulumi" / "stacks" / "slipway" / "local.json"
        self.state_file.parent.mkdir(parents=True)
        self.write_state({"resources": [SSH_KEY]})
        executable = root / "pulumi"
        executable.write_text(CLI)
        executable.chmod(0o755)
        project = Project(root)
        self.variables = {
            "PATH": os.environ["PATH"],
            "CALLS": str(root / "calls"),
            "MARKER": str(project.marker("local")),
            "SEEN": str(root / "seen"),
            "STATE": str(self.state_file),
            "STATUS": "0",
            "STDERR": "",
            "EVENTS": str(root / "events"),
        }
        pulumi = PulumiCommand(executable, root, self.variables)
        self.stack = Stack(project, "local", Backend(f"file://{root}/state"), pulumi)
        self.configure(LOCAL)

    def configure(self, text: str) -> None:
        self.stack.config_file.write_text(text)

    def write_state(self, deployment: dict[str, Any]) -> None:
        self.state_file.write_text(json.dumps({"checkpoint": {"latest": deployment}}))

    @property
    def calls(self) -> list[str]:
        """The calls, without the options that every one of them has."""
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [
            re.sub(
                r" --message \S+@\S+(?:, commit \w+(?:-dirty)?)?"
                r"| --suppress-outputs| --event-log \S+| --non-interactive --color never",
                "",
                line,
            )
            for line in lines
        ]

    def happens(self, name: str) -> None:
        """Let the CLI write the events of a recorded run."""
        shutil.copy(recordings.FOLDER / f"{name}.jsonl", self.root / "events")

    @property
    def marker_during_update(self) -> dict[str, Any]:
        marker: dict[str, Any] = json.loads((self.root / "seen").read_text())
        return marker


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    made = Clone(tmp_path)
    monkeypatch.setattr(updates, "open_stack", lambda *_, **__: made.stack)
    return made


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "is_interactive", lambda: True)


def test_a_local_stack_is_updated_without_a_question(clone: Clone) -> None:
    assert updates.up(Update()) == 0
    assert clone.calls == ["up --stack local --yes --skip-preview"]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("config", "update", "expected"),
    [
        (LOCAL, Update(), "--yes --skip-preview"),
        (LOCAL, Update(preview=True, verbose=True), ""),
        (LOCAL, Update(preview=True, yes=True, options=("--diff",)), "--yes --diff"),
        (ELSEWHERE, Update(verbose=True), ""),
        (ELSEWHERE, Update(yes=True, verbose=True), "--yes"),
        (ELSEWHERE, Update(yes=True, preview=False), "--yes --skip-preview"),
        (PROTECTED, Update(verbose=True), ""),
        (
            LOCAL,
            Update(options=("--refresh", "--parallel", "4")),
            "--yes --skip-preview --refresh --parallel 4",
        ),
    ],
)
def test_what_pulumi_is_told(clone: Clone, config: str, update: Update, expected: str) -> None:
    clone.configure(config)
    assert updates.up(update) == 0
    assert clone.calls == [f"up --stack local {expected}".rstrip()]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("config", "update", "answer", "expected"),
    [
        (PROTECTED, Update(), "y", ["preview", "up --yes --skip-preview"]),
        (PROTECTED, Update(), "n", ["preview"]),
        (ELSEWHERE, Update(yes=True), "", ["preview", "up --yes --skip-preview"]),
        (
            LOCAL,
            Update(preview=True, options=("--refresh",)),
            "y",
            ["preview --refresh", "up --yes --skip-preview --refresh"],
        ),
    ],
)
def test_a_plan_comes_before_the_question(
    clone: Clone,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config: str,
    update: Update,
    answer: str,
    expected: list[str],
) -> None:
    clone.configure(config)
    clone.happens("change-preview")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{answer}\n"))
    if answer == "n":
        with pytest.raises(CommandError, match="nothing was changed"):
            updates.up(update)
    else:
        assert updates.up(update) == 0
    assert clone.calls == [
        call.replace(" ", " --stack local ", 1) if " " in call else f"{call} --stack local"
        for call in expected
    ]
    shown = capsys.readouterr()
    assert "web: new image, rolled over web-1, web-2; nobody notices" in shown.out
    assert ("Update the stack local? [y/N]" in shown.err) == bool(answer)


def test_pulumi_has_no_terminal_unless_its_display_is_wanted(clone: Clone) -> None:
    def calls() -> str:
        made = (clone.root / "calls").read_text().splitlines()
        return "\n".join(call for call in made if call.startswith(("up ", "preview ")))

    updates.up(Update())
    assert "--suppress-outputs" in calls()
    assert "--non-interactive --color never" in calls()
    (clone.root / "calls").unlink()
    updates.up(Update(verbose=True))
    updates.preview("local", ("--diff",))
    assert calls().count("--suppress-outputs") == 2
    assert "--non-interactive" not in calls()


def test_the_outputs_and_pulumis_tree_are_not_printed(
    clone: Clone, capfd: pytest.CaptureFixture[str]
) -> None:
    script = clone.root / "pulumi"
    script.write_text(script.read_text().replace("up|destroy|preview)", "up|destroy|preview)\n    echo PEM"))
    clone.happens("change")
    assert updates.up(Update()) == 0
    shown = capfd.readouterr()
    assert "PEM" not in shown.out + shown.err
    assert "✓ web on web-1       new version healthy after " in shown.err
    assert "✓ 3 changed, 4 replaced, 72 unchanged (" in shown.out


def test_no_change_is_one_line(clone: Clone, capfd: pytest.CaptureFixture[str]) -> None:
    clone.happens("no-change")
    assert updates.up(Update()) == 0
    shown = capfd.readouterr()
    assert re.fullmatch(r"✓ nothing to change: 79 resources are as configured \([\d.]+ s\)\n", shown.out)
    assert shown.err == ""


LOCKED = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
    "lock file with `pulumi cancel`.\n  file:///x.json: created by ann@box (pid 7) at 2026-01-02T03:04:05Z"
)


@pytest.mark.parametrize(
    ("events", "stderr", "status", "last"),
    [
        ("unhealthy", "", 1, "Correct the app or its settings, then run `./slip up` again."),
        ("failed-build", "", 1, "Correct the Dockerfile or the app, then run `./slip up` again."),
        ("mistake", "", 3, "Correct Pulumi.local.yaml, then run `./slip up` again."),
        (
            "",
            LOCKED,
            3,
            "If it no longer runs, `./slip up` on box removes its lock.",
        ),
        ("change", "error: no changes were expected but changes occurred", 1, "`./slip preview` says what."),
        ("", "error: no way", 3, "Run the same command with --verbose to see all that Pulumi says."),
    ],
)
def test_a_failed_up_ends_with_the_next_step(
    clone: Clone, capfd: pytest.CaptureFixture[str], events: str, stderr: str, status: int, last: str
) -> None:
    if events:
        clone.happens(events)
    clone.variables.update(STATUS="255", STDERR=stderr)
    assert updates.up(Update()) == status
    shown = capfd.readouterr()
    assert shown.err.splitlines()[-1].endswith(last)
    assert "update failed" not in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("status", ["0", "255"])
def test_the_event_log_of_a_user_is_written_too(clone: Clone, tmp_path: Path, status: str) -> None:
    clone.happens("change")
    clone.variables["STATUS"] = status
    path = tmp_path / "mine"
    updates.up(Update(options=("--event-log", str(path))))
    assert path.read_bytes() == (clone.root / "events").read_bytes()
    assert len(list(tmp_path.glob("*.events"))) == 0


@pytest.mark.parametrize("config", [ELSEWHERE, PROTECTED])
def test_other_stacks_need_a_yes_without_a_terminal(clone: Clone, config: str) -> None:
    clone.configure(config)
    with pytest.raises(CommandError, match="no terminal") as raised:
        updates.up(Update())
    assert (raised.value.status, raised.value.remedy) == (3, "To update without one: `./slip up --yes`.")
    assert clone.calls == []


def test_skip_preview_needs_a_yes_before_anything_is_cleared_up(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.update.recovery.recover", lambda _: pytest.fail("it has cleared up"))
    with pytest.raises(CommandError, match="no terminal") as raised:
        updates.up(Update(preview=False))
    assert raised.value.status == 3


def test_an_update_is_marked_while_it_runs(clone: Clone) -> None:
    updates.up(Update())
    assert clone.marker_during_update["command"] == "up"
    assert clone.marker_during_update["slip"] == os.getpid()
    assert not clone.stack.project.marker("local").exists()


FUTURE: dict[str, Any] = {
    "urn": "urn:pulumi:local::slipway::tls:index/locallySignedCert:LocallySignedCert::web-1-engine-certificate",
    "type": "tls:index/locallySignedCert:LocallySignedCert",
    "custom": True,
    "id": "2",
    "outputs": {"validityStartTime": "2999-01-01T00:00:00Z", "validityEndTime": "3000-01-01T00:00:00Z"},
}
REPLACE = f"--replace {FUTURE['urn']}"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [f"up --stack local --yes --skip-preview {REPLACE}"]),
        (
            ("--refresh", "--parallel", "4"),
            [
                f"up --stack local --yes --skip-preview --parallel 4 {REPLACE}",
                "up --stack local --yes --skip-preview --refresh --parallel 4",
            ],
        ),
        (("--target", "urn:x"), ["up --stack local --yes --skip-preview --target urn:x"]),
    ],
)
def test_certificates_that_are_not_valid_now_are_made_anew_before_a_refresh(
    clone: Clone, options: tuple[str, ...], expected: list[str]
) -> None:
    clone.write_state({"resources": [SSH_KEY, FUTURE]})
    assert updates.up(Update(options=options)) == 0
    assert clone.calls == expected


def test_what_is_not_valid_is_said(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.write_state({"resources": [SSH_KEY, FUTURE]})
    updates.up(Update())
    assert "web-1-engine: not valid before 2999-01-01 00:00 UTC" in capsys.readouterr().err


def test_a_preview_shows_that_too_and_cannot_refresh_before_it(clone: Clone) -> None:
    clone.write_state({"resources": [SSH_KEY, FUTURE]})
    assert updates.preview("local", ()) == 0
    (call,) = [call for call in clone.calls if call.startswith("preview ")]
    assert call.endswith(f" {REPLACE}")
    with pytest.raises(CommandError, match="web-1-engine: not valid before 2999") as raised:
        updates.preview("local", ("--refresh",))
    assert raised.value.remedy.startswith("`./slip up`")


@pytest.mark.parametrize(
    ("status", "resources", "calls"),
    [("1", [FUTURE], 2), ("1", [], 1), ("0", [FUTURE], 1), ("8", [FUTURE], 1)],
)
def test_another_backend_is_asked_for_certificates_only_after_a_failure(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, status: str, resources: list[dict[str, Any]], calls: int
) -> None:
    clone.variables["STATUS"] = status
    stack = dataclasses.replace(clone.stack, backend=Backend("https://example.org"))
    monkeypatch.setattr(updates, "open_stack", lambda *_, **__: stack)
    monkeypatch.setattr(Stack, "deployment", lambda _: {"resources": resources})
    clone.configure(ELSEWHERE)
    updates.up(Update(yes=True, preview=False))
    ups = [call for call in clone.calls if call.startswith("up ")]
    up = "up --stack local --yes --skip-preview"
    assert ups == [up, f"{up} {REPLACE}"][:calls]


@pytest.mark.parametrize(("status", "expected"), [("0", 0), ("1", 1), ("4", 1), ("255", 1), ("8", 130)])
def test_the_exit_status_is_one_of_ours(clone: Clone, status: str, expected: int) -> None:
    clone.variables["STATUS"] = status
    assert updates.up(Update()) == expected
    assert updates.preview("local", ()) == expected
    assert updates.down("local", yes=True, purge=False, options=()) == expected


def test_the_update_after_a_kill_looks_at_what_is_there(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.update.recovery.recover", lambda _: True)
    updates.up(Update())
    updates.up(Update(options=("--refresh=false",)))
    updates.down("local", yes=True, purge=False, options=())
    assert clone.calls == [
        "up --stack local --yes --skip-preview --refresh",
        "up --stack local --yes --skip-preview --refresh=false",
        "destroy --stack local --yes --skip-preview --refresh",
    ]


def dead_host() -> dict[str, Any]:
    """The state of a stack whose host web-1 does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    container = "docker:index/container:Container"
    urn = f"urn:pulumi:local::slipway::{container}::web-1"
    return {
        "resources": [
            {
                "urn": "urn:pulumi:local::slipway::pulumi:pulumi:Stack::slipway-local",
                "type": "pulumi:pulumi:Stack",
                "outputs": {"hosts": {"web-1": {"address": "127.0.0.1", "enginePort": port}}},
            },
            {"urn": urn, "custom": True, "type": container},
            SSH_KEY,
        ]
    }


@pytest.mark.parametrize("status", ["0", "1"])
@pytest.mark.parametrize("command", ["up", "preview"])
def test_a_dead_host_is_named_whether_pulumi_failed_or_not(
    clone: Clone, capsys: pytest.CaptureFixture[str], status: str, command: str
) -> None:
    clone.write_state(dead_host())
    clone.variables["STATUS"] = status
    assert (updates.up(Update()) if command == "up" else updates.preview("local", ())) == 1
    said = capsys.readouterr().err
    assert "web-1 does not answer: its engine at 127.0.0.1:" in said
    assert "./slip forget web-1" in said


def test_a_host_that_the_update_replaced_is_not_named(
    clone: Clone, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.write_state(dead_host())
    answers = iter([(diagnosis.Silence("web-1", ("refuses",)),), ()])
    monkeypatch.setattr(diagnosis, "silences", lambda *_: next(answers))
    assert updates.up(Update()) == 0
    assert "does not answer" not in capsys.readouterr().err


def test_down_asks_on_a_terminal(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="no terminal"):
        updates.down("local", yes=False, purge=False, options=())
    assert clone.calls == []
    monkeypatch.setattr(console, "is_interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    updates.down("local", yes=False, purge=False, options=("--parallel", "1"))
    assert clone.calls == [
        "destroy --stack local --preview-only --parallel 1",
        "destroy --stack local --yes --skip-preview --parallel 1",
    ]


def test_down_without_a_stack_has_nothing_to_do(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.state_file.unlink()
    assert updates.down("local", yes=True, purge=False, options=()) == 0
    assert clone.calls == []
    assert "The stack 'local' does not exist" in capsys.readouterr().err


class FakeEngine:
    """The operator's engine: containers, networks and volumes by name, with their labels."""

    def __init__(self) -> None:
        self.things: dict[tuple[str, str], dict[str, str]] = {
            ("volume", "slipway-local-yard"): OWN,
            ("volume", "slipway-local-web-1"): OWN,
            ("volume", "slipway-dev-yard"): {**OWN, "slipway.stack": "dev"},
            ("volume", "mine"): {},
            ("container", "left"): OWN,
            ("network", "slipway-local"): OWN,
        }
        self.removed: list[str] = []
        self.mounts: dict[str, list[str]] = {}
        """The volumes of containers, by the container's name."""
        self.created: dict[str, str] = {}
        """When volumes were created, if it was not at the usual time."""

    def _matching(self, kind: str, wanted: list[str]) -> list[dict[str, Any]]:
        return [
            {"Name": name, "Names": [f"/{name}"], "Id": name, "Labels": labels or None}
            for (of, name), labels in self.things.items()
            if of == kind and {tuple(pair.split("=")) for pair in wanted} <= set(labels.items())
        ]

    def volumes(self, filters: dict[str, list[str]]) -> dict[str, Any]:
        found = self._matching("volume", filters["label"])
        return {
            "Volumes": [
                {**item, "CreatedAt": self.created.get(item["Name"], "2026-01-02T03:04:05Z")}
                for item in found
            ]
            or None
        }

    def containers(self, filters: dict[str, list[str]], **_: Any) -> list[dict[str, Any]]:
        return [
            {**item, "State": "running", "Mounts": [{"Type": "volume", "Name": name} for name in mounts]}
            for item in self._matching("container", filters.get("label", []))
            for mounts in [self.mounts.get(item["Id"], [])]
            if set(filters.get("volume", mounts)) <= set(mounts)
        ]

    def networks(self, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        return self._matching("network", filters["label"])

    def _remove(self, kind: str, name: str) -> None:
        del self.things[kind, name]
        self.removed.append(name)

    def remove_volume(self, name: str) -> None:
        self._remove("volume", name)

    def remove_container(self, name: str, **_: Any) -> None:
        self._remove("container", name)

    def remove_network(self, name: str) -> None:
        self._remove("network", name)


ENGINE_URN = "urn:pulumi:local::slipway::pulumi:providers:docker::operator-engine"


def made(kind: str, identifier: str) -> dict[str, Any]:
    """A resource of the operator's engine, in a state."""
    title = kind.title()
    return {
        "urn": f"urn:pulumi:local::slipway::docker:index/{kind}:{title}::{identifier}",
        "type": f"docker:index/{kind}:{title}",
        "custom": True,
        "id": identifier,
        "provider": f"{ENGINE_URN}::1",
    }


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()

    @contextlib.contextmanager
    def connected(*_: Any, **__: Any) -> Iterator[FakeEngine]:
        yield fake

    monkeypatch.setattr("cli.running.engine.connected", connected)
    return fake


def test_down_keeps_the_data_and_says_so(
    clone: Clone, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.things["volume", "another"] = FOREIGN
    assert updates.down("local", yes=True, purge=False, options=()) == 0
    assert engine.removed == []
    assert "Kept the data of local: slipway-local-web-1, slipway-local-yard." in capsys.readouterr().err


ALL = ["left", "slipway-local", "slipway-local-web-1", "slipway-local-yard"]


def destroyed(clone: Clone) -> None:
    """Let the CLI empty the state when it destroys the stack."""
    cli = clone.root / "pulumi"
    empty = """[ "$1" != destroy ] || echo '{"checkpoint": {"latest": {}}}' > "$STATE"\n"""
    cli.write_text(cli.read_text().replace('case "$1" in\n', f'{empty}case "$1" in\n'))


def test_purge_removes_what_it_announced(
    clone: Clone, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    destroyed(clone)
    assert updates.down("local", yes=True, purge=True, options=()) == 0
    assert engine.removed == ALL
    assert [call.split(" --non")[0] for call in clone.calls] == [
        "destroy --stack local --yes --skip-preview",
        "stack rm --stack local --yes --preserve-config --remove-backups",
    ]
    assert clone.stack.config_file.exists()  # it is not the one that `up` makes
    said = capsys.readouterr().err
    assert "  container left, running\n  network slipway-local\n  volume slipway-local-web-1\n" in said


def test_purge_leaves_what_appeared_after_it_was_announced(clone: Clone, engine: FakeEngine) -> None:
    destroyed(clone)
    announced = purging.announce(clone.stack, yes=True)
    engine.things["volume", "slipway-local-yard"] = FOREIGN
    engine.things["volume", "new"] = OWN
    clone.write_state({})
    purging.purge(clone.stack, announced)
    assert engine.removed == ["left", "slipway-local", "slipway-local-web-1"]


def test_purge_removes_a_configuration_that_up_made(clone: Clone, engine: FakeEngine) -> None:
    destroyed(clone)
    template = LOCAL_STACK.read_text()
    clone.configure(f"{template}  slipway:passwords: {{deploy: {{secure: v1:x}}}}\nencryptionsalt: v1:y\n")
    assert updates.down("local", yes=True, purge=True, options=()) == 0
    assert not clone.stack.config_file.exists()


def test_a_purge_after_a_down_knows_its_own_data(clone: Clone, engine: FakeEngine) -> None:
    """Labelled resources and those of an older version; the key in the state is gone by then."""
    engine.things["volume", "old"] = OLD
    clone.write_state({"resources": [SSH_KEY, made("volume", "old")]})
    destroyed(clone)
    assert updates.down("local", yes=True, purge=False, options=()) == 0
    assert updates.down("local", yes=True, purge=True, options=()) == 0
    assert engine.removed == ["left", "slipway-local", "old", *ALL[2:]]


def test_a_purge_does_not_take_a_later_volume_for_its_own(clone: Clone, engine: FakeEngine) -> None:
    """This clone's volume was removed by hand, and an older version's clone has one of that name."""
    engine.things["volume", "old"] = OLD
    clone.write_state({"resources": [SSH_KEY, made("volume", "old")]})
    destroyed(clone)
    assert updates.down("local", yes=True, purge=False, options=()) == 0
    engine.created["old"] = "2026-01-02T03:04:06Z"
    engine.things["container", "user"] = {}
    engine.mounts["user"] = ["old"]
    with pytest.raises(CommandError, match="volume old, of an older version"):
        updates.down("local", yes=True, purge=True, options=())
    assert engine.removed == []


def test_a_purge_after_an_upgrade_removes_what_the_older_version_left(
    clone: Clone, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    clone.state_file.unlink()
    engine.things = {("volume", "registry"): OLD, ("container", "user"): {}}
    engine.mounts["user"] = ["registry"]
    with pytest.raises(CommandError, match="volume registry, of an older version") as raised:
        updates.down("local", yes=True, purge=True, options=())
    assert "`docker volume rm registry`" in raised.value.remedy
    engine.mounts.clear()
    assert updates.down("local", yes=True, purge=True, options=()) == 0
    assert engine.removed == ["registry"]
    assert "An older version left some of it, which no container uses: registry.\n" in capsys.readouterr().err


def test_a_purge_without_a_record_knows_the_data_by_its_container(clone: Clone, engine: FakeEngine) -> None:
    """With a shared backend, another clone has made the volume from a former state."""
    engine.things["volume", "registry"] = FOREIGN
    clone.write_state({"resources": [SSH_KEY, made("volume", "registry")]})
    destroyed(clone)
    with pytest.raises(CommandError, match="volume registry, of the clone /another") as raised:
        updates.down("local", yes=True, purge=True, options=())
    assert "`docker volume rm registry`" in raised.value.remedy.splitlines()[0]
    engine.mounts["left"] = ["registry"]
    clone.variables["STATUS"] = "1"
    assert updates.down("local", yes=True, purge=True, options=()) == 1
    # The failed `down` has removed the container.
    engine.remove_container("left")
    clone.variables["STATUS"] = "0"
    assert updates.down("local", yes=True, purge=True, options=()) == 0
    assert engine.removed == ["left", "slipway-local", "registry", *ALL[2:]]


def test_only_the_first_up_reads_the_state_of_a_remote_backend(clone: Clone, engine: FakeEngine) -> None:
    """Until a `down`: another clone may take the name then."""
    script = clone.root / "pulumi"
    exported = json.dumps({"deployment": {"resources": [SSH_KEY]}})
    (clone.root / "exported").write_text(exported)
    script.write_text(
        script.read_text() + f"""[ "$1 $2" != "stack export" ] || cat '{clone.root}/exported'\n"""
    )
    stack = dataclasses.replace(clone.stack, backend=Backend("s3://states"))
    clone.stack = stack
    clone.variables["STATUS"] = "1"
    engine.things.clear()
    updates.up(Update())
    engine.things["container", "box"] = FOREIGN
    with pytest.raises(CommandError, match="container box, running"):
        updates.up(Update())
    del engine.things["container", "box"]
    clone.variables["STATUS"] = "0"
    assert updates.up(Update()) == 0
    engine.things["container", "box"] = FOREIGN
    before = len(clone.calls)
    purging.refuse_taken_name(stack)
    assert len(clone.calls) == before
    assert ownership.claim(stack, state={}).states == {state_id(KEY)}
    assert updates.down("local", yes=True, purge=False, options=()) == 0
    with pytest.raises(CommandError, match="container box, running"):
        purging.refuse_taken_name(stack)


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("labels", [FOREIGN, OLD])
def test_purge_refuses_what_another_stack_made(
    clone: Clone, engine: FakeEngine, is_there: bool, labels: dict[str, str]
) -> None:
    if not is_there:
        engine.things.clear()
        clone.state_file.unlink()
    engine.things["container", "slipway-local-box"] = labels
    before = dict(engine.things)
    with pytest.raises(CommandError, match="container slipway-local-box, running, of ") as raised:
        updates.down("local", yes=True, purge=True, options=())
    assert raised.value.status == 3
    assert "left" not in raised.value.message
    assert (engine.removed, engine.things, clone.calls) == ([], before, [])
    assert clone.state_file.exists() == is_there


@pytest.fixture
def lost(clone: Clone, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """What a clone has made whose state is lost, beside another clone's."""
    own = {**FOREIGN, "slipway.clone": str(clone.root)}
    engine.things = {
        ("container", "box"): own,
        ("network", "net"): own,
        ("volume", "slipway-local-box-docker"): own,
        ("volume", "slipway-local-registry"): own,
        ("container", "foreign"): FOREIGN,
    }
    clone.write_state({"resources": []})
    monkeypatch.setattr("cli.stack.project.Project.here", lambda: clone.stack.project)
    monkeypatch.setenv("PULUMI_BACKEND_URL", clone.stack.backend.url)
    return engine


def test_without_its_state_a_stacks_hosts_go_and_the_images_stay(clone: Clone, lost: FakeEngine) -> None:
    assert lost_state.remove("local", yes=True, purge=False) == 0
    assert set(lost.things) == {("volume", "slipway-local-registry"), ("container", "foreign")}
    assert clone.stack.config_file.read_text() == LOCAL, "its secrets can be decrypted"


def test_without_its_state_a_stack_can_be_purged(lost: FakeEngine) -> None:
    assert lost_state.remove("local", yes=True, purge=True) == 0
    assert set(lost.things) == {("container", "foreign")}


def test_nothing_goes_without_a_yes(lost: FakeEngine) -> None:
    before = dict(lost.things)
    with pytest.raises(CommandError, match="needs a confirmation"):
        lost_state.remove("local", yes=False, purge=False)
    assert lost.things == before


def test_a_stack_with_its_state_is_no_lost_one(clone: Clone, lost: FakeEngine) -> None:
    before = dict(lost.things)
    clone.write_state({"resources": [SSH_KEY, made("container", "box")]})
    with pytest.raises(CommandError, match="is there") as raised:
        lost_state.remove("local", yes=True, purge=False)
    assert raised.value.remedy == "Run `./slip down`."
    assert lost.things == before


def test_hosts_of_a_lost_state_go_where_they_have_stopped_an_update_of_a_new_one(
    clone: Clone, lost: FakeEngine
) -> None:
    """Else neither `up` nor `down` could do anything about them."""
    clone.write_state({"resources": [SSH_KEY]})
    assert lost_state.remove("local", yes=True, purge=False) == 0
    assert set(lost.things) == {("volume", "slipway-local-registry"), ("container", "foreign")}


def test_an_up_without_the_state_of_hosts_names_the_ways_to_go_on(clone: Clone, lost: FakeEngine) -> None:
    """Although the clone's record has the id of the lost state."""
    del lost.things["container", "foreign"]
    states = frozenset({"f" * 16})
    ownership.remember(clone.stack, {}, adopted=states)
    clone.configure("config:\n  slipway:platform: {kind: local}\n  slipway:stateBackup: {to: {path: /mnt}}\n")
    with pytest.raises(CommandError, match="no host was made:\n  container box") as raised:
        updates.up(Update())
    assert "`./slip restore state` brings it back" in raised.value.remedy
    assert "`./slip down --without-state` removes them with the data of the services" in raised.value.remedy
    assert "down --purge" not in raised.value.remedy
    assert "another name" not in raised.value.remedy


def test_data_that_would_go_with_a_lost_host_is_told(
    clone: Clone, lost: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    lost.mounts["box"] = ["slipway-local-box-docker"]
    lost_state.remove("local", yes=True, purge=False)
    assert "docker exec" not in capsys.readouterr().err
    lost.things["container", "box"] = {**FOREIGN, "slipway.clone": str(clone.root)}
    clone.configure(
        "config:\n  slipway:platform: {kind: local}\n  slipway:services: {db: {volumes: {data: /data}}}\n"
    )
    lost_state.remove("local", yes=True, purge=False)
    assert "`docker exec box tar --create" in capsys.readouterr().err


def test_a_lost_passphrase_takes_state_and_secrets_along(clone: Clone, lost: FakeEngine) -> None:
    secrets = "config:\n  slipway:platform: {kind: local}\n  slipway:secrets:\n    KEY:\n      secure: v1:x\n"
    clone.configure(f"encryptionsalt: v1:abc=:v1:x:y\n{secrets}")
    clone.write_state({"resources": [SSH_KEY]})
    assert lost_state.remove("local", yes=True, purge=False) == 0
    assert not clone.state_file.exists()
    assert clone.stack.config_file.read_text() == "config:\n  slipway:platform: {kind: local}\n"
    backups = sorted(
        path.name.partition("-")[2] for path in (clone.stack.project.private / "backups").iterdir()
    )
    assert backups == ["Pulumi.local.yaml", "local.json"]


def test_a_stack_elsewhere_is_not_on_this_engine(clone: Clone, lost: FakeEngine) -> None:
    clone.configure(ELSEWHERE)
    with pytest.raises(CommandError, match="is on the platform aws"):
        lost_state.remove("local", yes=True, purge=False)


def test_a_first_up_refuses_to_share_a_name(clone: Clone, engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    (tmp_path / "Pulumi.local-2.yaml").touch()
    engine.things["container", "slipway-local-box"] = {**FOREIGN, "slipway.clone": f"{tmp_path}/another"}
    with pytest.raises(CommandError) as raised:
        updates.up(Update())
    assert raised.value.status == 3
    assert f"container slipway-local-box, running, of the clone {tmp_path}/another" in raised.value.message
    assert "`cp Pulumi.local.yaml Pulumi.local-3.yaml`" in raised.value.remedy
    assert "`./slip up -s local-3`" in raised.value.remedy
    assert f"`cd {tmp_path}/another && ./slip down --purge`" in raised.value.remedy
    assert clone.calls == []


def test_a_later_up_does_not_ask_the_engine(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    clone.write_state({"resources": [SSH_KEY, made("container", "box")]})
    monkeypatch.setattr("cli.running.engine.connected", None)
    assert updates.up(Update()) == 0


def test_an_up_after_a_lost_state_takes_over_the_data_alone(clone: Clone, engine: FakeEngine) -> None:
    lost = {**FOREIGN, "slipway.clone": str(clone.root)}
    engine.things = {("container", "box"): lost, ("network", "net"): lost, ("volume", "registry"): lost}
    with pytest.raises(CommandError, match="container box, running") as raised:
        updates.up(Update())
    assert "`./slip down --without-state`" in raised.value.remedy
    engine.remove_container("box")
    assert updates.up(Update()) == 0
    assert [item.name for item in purging.announce(clone.stack, yes=True)] == ["net", "registry"]


def test_purge_keeps_the_data_if_something_is_left(clone: Clone, engine: FakeEngine) -> None:
    with pytest.raises(CommandError, match="1 resources of the stack 'local' are left"):
        updates.down("local", yes=True, purge=True, options=("--target", "x"))
    assert engine.removed == []


def test_a_failed_down_purges_nothing(clone: Clone, engine: FakeEngine) -> None:
    clone.variables["STATUS"] = "1"
    assert updates.down("local", yes=True, purge=True, options=()) == 1
    assert engine.removed == []


def test_purge_knows_this_machine_only(clone: Clone, engine: FakeEngine) -> None:
    clone.configure(ELSEWHERE)
    with pytest.raises(CommandError, match="platform aws") as raised:
        updates.down("local", yes=True, purge=True, options=())
    assert raised.value.remedy == "Run it without --purge: on that platform `down` removes the data, too."
    assert clone.calls == []


ATTACH = """
import sys
from pathlib import Path
from cli.stack.pulumi_command import PulumiCommand
command = PulumiCommand(Path(sys.argv[1]), Path("."), {"PATH": "/usr/bin:/bin"})
sys.exit(command.attach(["up"], lambda pid: print(f"{pid}\\n", end="", flush=True)) % 256)
"""


@pytest.fixture
def attached(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Starts our side of a CLI that is this shell script, in a process group of its own."""

    def start(script: str) -> subprocess.Popen[str]:
        executable = tmp_path / "pulumi"
        executable.write_text(f"#!/bin/sh\n{script}\n")
        executable.chmod(0o755)
        return subprocess.Popen(
            [sys.executable, "-c", ATTACH, str(executable)],
            cwd=Path(updates.__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


WAITS = "trap 'echo orderly; exit 3' INT\necho ready\nfor i in $(seq 100); do sleep 0.1; done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_reaches_pulumi_as_an_interrupt(
    attached: Callable[[str], subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = attached(WAITS)
    lines = [process.stdout.readline() for _ in range(2)]  # type: ignore[union-attr]
    assert "ready\n" in lines
    process.send_signal(number)
    rest, _ = process.communicate(timeout=10)
    assert rest == "orderly\n"
    assert process.returncode == 8


@pytest.mark.parametrize(
    "script", ["echo ready; exec sleep 30", "echo ready; trap '' INT; sleep 1; exit 255"]
)
def test_an_interrupt_is_one_however_the_cli_ends(
    attached: Callable[[str], subprocess.Popen[str]], script: str
) -> None:
    """A CLI that has just started is killed by it."""
    process = attached(script)
    lines = [process.stdout.readline() for _ in range(2)]  # type: ignore[union-attr]
    assert "ready\n" in lines
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 8


@pytest.mark.parametrize("verbose", [True, False])
@pytest.mark.parametrize("command", ["up", "preview", "down"])
def test_an_interrupt_that_only_pulumi_sees_is_one_too(clone: Clone, command: str, verbose: bool) -> None:
    """Pulumi's own display reads the key from the terminal, so no signal comes."""
    message = {"message": "update canceled\n", "severity": "error"}
    (clone.root / "events").write_text(json.dumps({"diagnosticEvent": message}) + "\n")
    clone.variables["STATUS"] = "255"
    if command == "up":
        status = updates.up(Update(verbose=verbose))
    elif command == "preview":
        status = updates.preview("local", (), verbose=verbose)
    else:
        status = updates.down("local", yes=True, purge=False, options=(), verbose=verbose)
    assert status == 130


def test_an_interrupt_from_the_terminal_is_left_to_pulumi(
    attached: Callable[[str], subprocess.Popen[str]],
) -> None:
    process = attached(WAITS)
    lines = [process.stdout.readline() for _ in range(2)]  # type: ignore[union-attr]
    assert "ready\n" in lines
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=10)
    assert rest == "orderly\n"
    assert process.returncode == 8


def test_a_killed_pulumi_is_no_interrupt(attached: Callable[[str], subprocess.Popen[str]]) -> None:
    process = attached("kill -KILL $$; sleep 5")
    process.communicate(timeout=10)
    assert process.returncode == 256 - signal.SIGKILL


def test_an_update_whose_pulumi_was_killed_stays_marked(
    clone: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone.root / "pulumi").write_text("#!/bin/sh\nkill -KILL $$\n")
    assert updates.up(Update()) == 1
    assert clone.stack.project.marker("local").exists()
    assert "cleans up after it" in capsys.readouterr().err


def test_the_failure_of_a_quiet_command_is_pulumis_own_sentence(clone: Clone) -> None:
    (clone.root / "pulumi").write_text(
        "#!/bin/sh\necho 'warning: old' >&2\necho 'error: no stack named local found' >&2\nexit 6\n"
    )
    with pytest.raises(CommandError) as raised:
        clone.stack.export(show_secrets=True)
    assert raised.value.message == "pulumi stack export: no stack named local found"


def test_silent_hosts_cost_no_time_where_all_answer(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def silences(state: Any) -> tuple[()]:
        asked.append(state)
        return ()

    monkeypatch.setattr(diagnosis, "silences", silences)
    assert updates.up(Update()) == 0
    assert len(asked) == 1  # before, in the background, and not once more at the end


@pytest.mark.parametrize("status", ["0", "1"])
def test_an_update_trims_the_history(clone: Clone, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    trimmed: list[tuple[str, str]] = []
    monkeypatch.setattr(Backend, "trim", lambda _, *names: trimmed.append(names))
    clone.variables["STATUS"] = status
    updates.up(Update())
    updates.preview("local", ())
    assert trimmed == [("slipway", "local")]
