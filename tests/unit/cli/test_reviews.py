"""`slip review`: numbers and times, the file of an environment, what is known of them, and their removal."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker.errors import APIError, NotFound

from cli import outputs
from cli.environments import ports
from cli.environments.reviews import commands, guests, known, listing, opening, removal
from cli.environments.reviews.file import HostStack, guests_text, text
from cli.environments.reviews.known import Environment, environments, left_behind
from cli.environments.reviews.listing import Row
from cli.environments.reviews.record import (
    CLOSING,
    TAG,
    Record,
    moment,
    number,
    pull_request_of,
    stack_of,
    ttl,
)
from cli.errors import CommandError
from cli.running import ssh
from cli.running.ssh import Command, CommandResult, Unreachable
from cli.settings.program import InForce, Problem
from cli.stack import processes
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.file_lock import FileLock
from cli.stack.project import Project
from cli.stack.stack import Stack
from cli.update import recovery, updates
from stackfile.document import Document
from tests.unit.cli.stacks import FakePulumi

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
EARLIER = NOW - timedelta(minutes=1)
SALT = "v1:eA==:v1:eA==:eA=="
TEMPLATE = """\
# About the template.
config:
  slipway:platform: {kind: local, portOffset: 100}
  slipway:hosts:
    box: {roles: [registry, build, app]}
  slipway:registry: {users: [alice], metricsPort: 9200}
  slipway:review: {limit: 2, ttlHours: 24}
  slipway:services:
    web: {build: {context: app}, domains: [app.example.com, "*.app.example.com"], canonical: app.example.com}
  slipway:passwords: {alice: {secure: v1:eA==:eA==}}
encryptionsalt: v1:dGVtcGxhdGU=:v1:eA==:eA==
"""


@pytest.mark.parametrize("given", ["1", "582", "999999999"])
def test_a_number_is_digits(given: str) -> None:
    assert number(given) == int(given)
    assert pull_request_of(stack_of(int(given))) == int(given)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "0",
        "01",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "582 ",
        "582\n",
        "1; rm -rf /",
        "$(id)",
        "../1",
        "٣",
        "1234567890",
    ],
)
def test_nothing_else_is_a_number(given: str) -> None:
    with pytest.raises(CommandError, match="is not the number of a pull request") as refused:
        number(given)
    assert refused.value.status == 2
    assert "\n" not in refused.value.message
    assert pull_request_of(f"pr-{given}") is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1m", timedelta(minutes=1)),
        ("12h", timedelta(hours=12)),
        ("3d", timedelta(days=3)),
        ("52w", timedelta(days=364)),
    ],
)
def test_times(given: str, expected: timedelta) -> None:
    assert ttl(given) == expected


@pytest.mark.parametrize(
    "given", ["", "0d", "3", "d", "-1d", "1.5h", "366d", "9999999d", "3 d", "3y", "3d\n"]
)
def test_other_times_are_refused(given: str) -> None:
    with pytest.raises(CommandError, match="not a time from a minute to a year"):
        ttl(given)


@pytest.mark.parametrize(
    "record",
    [
        Record(NOW, 0),
        Record(LATER, 40_900),
        Record(CLOSING, 100),
        Record(LATER, hosts_of="staging-2", slot=3),
        Record(CLOSING, hosts_of="staging", slot=20),
    ],
)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert Record.parse(str(record)) == record


@pytest.mark.parametrize(
    "tag", ["", "x", "2026-13-01T00:00:00Z portOffset=0", "2026-01-01T00:00:00Z", f"{NOW} 1"]
)
def test_another_tag_is_no_record(tag: str) -> None:
    assert Record.parse(tag) is None


class TestFile:
    def made(self, template: str, before: str = "") -> dict[str, Any]:
        found = text(template, 582, Record(NOW, 300), StackConfig.read_text(before, "slipway"), "slipway")
        assert found.startswith(
            "# yaml-language-server: $schema=slipway.schema.json\n# The review environment of"
        )
        assert "About the template" not in found
        document = Document.parse(found.encode())
        assert not document.mistakes
        return document.content

    def with_secret(self) -> str:
        return TEMPLATE.replace(
            "  slipway:passwords", "  slipway:secrets: {KEY: {secure: v1:eQ==:eQ==}}\n  slipway:passwords"
        )

    def test_it_has_ports_and_names_of_its_own_and_no_salt_of_others(self) -> None:
        assert self.made(TEMPLATE) == {
            "config": {
                "slipway:platform": {"kind": "local", "portOffset": 300},
                "slipway:hosts": {"box": {"roles": ["registry", "build", "app"]}},
                "slipway:registry": {"users": ["alice"], "metricsPort": 9400},
                "slipway:review": {
                    "limit": 2,
                    "ttlHours": 24,
                    "pullRequest": 582,
                    "until": "2026-01-02T12:00:00Z",
                },
                "slipway:services": {
                    "web": {
                        "build": {"context": "app"},
                        "domains": ["pr-582.app.example.com", "*.pr-582.app.example.com"],
                        "canonical": "pr-582.app.example.com",
                    }
                },
            }
        }

    def test_it_has_the_templates_secrets_with_their_salt(self) -> None:
        made = self.made(self.with_secret())
        assert made["config"]["slipway:secrets"] == {"KEY": {"secure": "v1:eQ==:eQ=="}}
        assert made["encryptionsalt"].startswith("v1:dGVtcGxhdGU=")
        assert "slipway:passwords" not in made["config"]

    @pytest.mark.parametrize("has_secret", [False, True])
    def test_an_update_keeps_the_passwords_that_can_be_read(self, has_secret: bool) -> None:
        template = self.with_secret() if has_secret else TEMPLATE
        own = SALT if not has_secret else "v1:dGVtcGxhdGU=:v1:eA==:eA=="
        before = yaml.safe_dump(
            {"config": {"slipway:passwords": {"hosts": {"secure": "v1:eg==:eg=="}}}, "encryptionsalt": own}
        )
        made = self.made(template, before)
        assert made["config"]["slipway:passwords"] == {"hosts": {"secure": "v1:eg==:eg=="}}
        assert made["encryptionsalt"] == own

    def test_an_update_keeps_a_secret_of_this_environment_alone(self) -> None:
        secrets = {"KEY": {"secure": "v1:b2xk:eg=="}, "OWN": {"secure": "v1:b3du:eg=="}}
        salt = "v1:dGVtcGxhdGU=:v1:eA==:eA=="
        before = yaml.safe_dump({"config": {"slipway:secrets": secrets}, "encryptionsalt": salt})
        made = self.made(self.with_secret(), before)["config"]["slipway:secrets"]
        assert made == {"KEY": {"secure": "v1:eQ==:eQ=="}, "OWN": secrets["OWN"]}

    def test_passwords_of_another_salt_are_made_anew(self) -> None:
        before = yaml.safe_dump(
            {"config": {"slipway:passwords": {"hosts": {"secure": "v1:eg==:eg=="}}}, "encryptionsalt": SALT}
        )
        assert "slipway:passwords" not in self.made(self.with_secret(), before)["config"]

    def test_it_goes_by_the_template_of_now(self) -> None:
        before = TEMPLATE.replace("web:", "old:")
        assert set(self.made(TEMPLATE, before)["config"]["slipway:services"]) == {"web"}


def write_state(project: Project, stack: str, tag: str = "", resources: object = ()) -> None:
    folder = project.private / "state" / ".pulumi" / "stacks" / "slipway"
    folder.mkdir(parents=True, exist_ok=True)
    latest = {"resources": list(resources)}  # type: ignore[call-overload]
    (folder / f"{stack}.json").write_text(json.dumps({"checkpoint": {"latest": latest}}))
    if tag:
        (folder / f"{stack}.pulumi-tags").write_text(json.dumps({"version": 1, "tags": {TAG: tag}}))


def write_file(project: Project, pull_request: int, until: datetime, offset: int = 0) -> None:
    record = Record(until, offset)
    made = text(TEMPLATE, pull_request, record, StackConfig({}, "slipway"), "slipway")
    project.config_file(stack_of(pull_request)).write_text(made)


@pytest.fixture
def backend(project: Project) -> Backend:
    return Backend.of(project, {})


class TestKnown:
    def test_a_file_or_a_tag_says_it_and_the_tag_counts(self, project: Project, backend: Backend) -> None:
        write_file(project, 1, NOW, 100)
        write_file(project, 2, NOW, 100)
        write_state(project, "pr-2", str(Record(LATER, 200)))
        write_state(project, "pr-3", str(Record(NOW, 300)))
        assert environments(project, backend) == [
            Environment(1, "pr-1", Record(NOW, 100), has_file=True),
            Environment(2, "pr-2", Record(LATER, 200), is_made=True, has_file=True),
            Environment(3, "pr-3", Record(NOW, 300), is_made=True),
        ]
        assert [one.pull_request for one in environments(project, backend, only=3)] == [3]

    def test_a_stack_of_this_name_need_not_be_one(self, project: Project, backend: Backend) -> None:
        project.config_file("pr-7").write_text("config: {slipway:platform: {kind: local}}\n")
        project.config_file("pr-8").write_text("config: [\n")
        project.config_file("pr-9x").write_text("config: {}\n")
        write_file(project, 6, NOW)
        project.config_file("pr-6").rename(project.config_file("pr-5"))
        assert {one.pull_request: one.record for one in environments(project, backend)} == {
            5: None,
            7: None,
            8: None,
        }


class FakeEngine:
    """What the operator's engine has: by kind, id and labels."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], dict[str, str]] = {}
        self.refuses = 0

    def add(self, pull_request: int, clone: Path, *, state: str = "s", review: bool = True) -> None:
        labels = {
            "slipway.project": "slipway",
            "slipway.stack": stack_of(pull_request),
            "slipway.state": state,
            "slipway.clone": str(clone),
        }
        if review:
            labels["slipway.review"] = str(pull_request)
        for kind in ("container", "network", "volume"):
            self.items[kind, f"slipway-pr-{pull_request}"] = labels

    def _matching(self, kind: str, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        pairs = [label.partition("=") for label in filters["label"]]
        return [
            {"Id": name, "Name": name, "Names": [f"/{name}"], "Labels": labels, "State": "running"}
            for (of, name), labels in self.items.items()
            if of == kind
            and all(
                labels.get(key, "") == value or (not equals and key in labels) for key, equals, value in pairs
            )
        ]

    def containers(self, *, filters: dict[str, list[str]], **_: object) -> list[dict[str, Any]]:
        return self._matching("container", filters)

    def networks(self, *, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        return self._matching("network", filters)

    def volumes(self, *, filters: dict[str, list[str]]) -> dict[str, Any]:
        return {"Volumes": self._matching("volume", filters) or None}

    def _remove(self, kind: str, name: str) -> None:
        if kind == "volume" and self.refuses:
            self.refuses -= 1
            raise APIError("volume is in use")
        if (kind, name) not in self.items:
            raise NotFound("gone")
        del self.items[kind, name]

    def remove_container(self, name: str, **_: object) -> None:
        self._remove("container", name)

    def remove_network(self, name: str) -> None:
        self._remove("network", name)

    def remove_volume(self, name: str) -> None:
        self._remove("volume", name)


class Pulumi(FakePulumi):
    """A CLI that sets tags and removes stacks in a file backend."""

    def __init__(self, project: Project) -> None:
        super().__init__(project.root)
        self.folder = project.private / "state" / ".pulumi" / "stacks" / "slipway"

    def read(self, *arguments: str, stdin: str | None = None) -> str:
        match arguments:
            case ("stack", "tag", "set", name, value, "--stack", stack):
                tags = {"version": 1, "tags": {name: value}}
                (self.folder / f"{stack}.pulumi-tags").write_text(json.dumps(tags))
            case ("stack", "rm", "--stack", stack, *options):
                assert "--force" in options
                for path in self.folder.glob(f"{stack}.*"):
                    path.unlink()
        return super().read(*arguments, stdin=stdin)


@pytest.fixture
def engine(project: Project, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    found = FakeEngine()

    @contextmanager
    def connected(**_: object) -> Iterator[FakeEngine]:
        yield found

    def opened(_project: Project, backend: Backend, environment: Environment) -> Stack:
        return Stack(project, environment.stack, backend, Pulumi(project))  # type: ignore[arg-type]

    for module in (commands, removal):
        monkeypatch.setattr(module, "operators_engine", connected)
    for module in (commands, removal, opening):
        monkeypatch.setattr(module, "opened", opened)
    for module in (known, listing):
        monkeypatch.setattr(module, "opened", opened)
    monkeypatch.setattr(Project, "here", classmethod(lambda _: project))
    monkeypatch.setattr(processes, "now", lambda: NOW)
    monkeypatch.setattr(removal, "PAUSE", 0)
    return found


def left(project: Project) -> list[str]:
    """The files of the clone, without those that every clone has."""
    paths = (path for path in project.root.rglob("*") if path.is_file())
    return sorted(path.name for path in paths if path.name != "Pulumi.yaml")


class TestClose:
    def make(self, project: Project, engine: FakeEngine, number: int = 582, until: datetime = LATER) -> None:
        write_file(project, number, until, 100)
        write_state(project, stack_of(number), str(Record(until, 100)), [{"urn": "x", "type": "y"}])
        engine.add(number, project.root)
        stack = Stack(project, stack_of(number), Backend.of(project, {}), FakePulumi(project.root))  # type: ignore[arg-type]
        for path in removal.files(stack):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for name in (f"running/{stack_of(number)}.creation", f"backups/{stack_of(number)}-2026.json"):
            path = project.private / name
            path.parent.mkdir(exist_ok=True)
            path.touch()

    def test_nothing_is_left_and_others_stay(self, project: Project, engine: FakeEngine) -> None:
        self.make(project, engine)
        before = dict(engine.items)
        write_state(project, "local")
        engine.items["container", "slipway-local-box"] = {
            "slipway.stack": "local",
            "slipway.project": "slipway",
        }
        assert commands.close(582) == 0
        assert engine.items.keys() == {("container", "slipway-local-box")}
        assert before
        assert left(project) == ["local.json"]

    def test_closing_what_is_gone_is_fine(
        self, project: Project, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert commands.close(582) == 0
        assert "nothing to remove" in capsys.readouterr().err
        assert left(project) == []

    def test_an_engine_that_refuses_at_first_is_asked_again(
        self, project: Project, engine: FakeEngine
    ) -> None:
        self.make(project, engine)
        engine.refuses = 2
        assert commands.close(582) == 0
        assert not engine.items

    def test_what_the_engine_keeps_is_named_and_the_next_sweep_goes_on(
        self, project: Project, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.make(project, engine)
        engine.refuses = removal.TRIES
        with pytest.raises(CommandError, match=r"is left .* volume slipway-pr-582.*in use") as failed:
            commands.close(582)
        assert failed.value.status == 1
        (found,) = environments(project, Backend.of(project, {}))
        assert found.record == Record(CLOSING, 100)
        assert commands.sweep() == 0
        assert not engine.items
        assert left(project) == []

    def test_a_stack_of_somebody_else_is_left_alone(self, project: Project, engine: FakeEngine) -> None:
        write_state(project, "pr-7", resources=[{"urn": "x", "type": "y"}])
        project.config_file("pr-7").write_text("config: {}\n")
        engine.add(7, project.root, review=False)
        with pytest.raises(CommandError, match="was not opened by"):
            commands.close(7)
        assert commands.sweep() == 0
        assert len(engine.items) == 3
        assert project.config_file("pr-7").exists()

    def test_another_clones_environment_is_named_and_left(self, project: Project, engine: FakeEngine) -> None:
        engine.add(582, Path("/elsewhere"))
        with pytest.raises(CommandError, match="of the clone /elsewhere"):
            commands.close(582)
        assert len(engine.items) == 3

    def test_what_lost_its_state_is_removed_by_its_label(self, project: Project, engine: FakeEngine) -> None:
        engine.add(582, project.root)
        assert [one.pull_request for one in left_behind(engine, project, Backend.of(project, {}), [])] == [
            582
        ]
        assert commands.sweep() == 0
        assert not engine.items

    def test_what_this_clone_has_in_another_backend_stays(self, project: Project, engine: FakeEngine) -> None:
        engine.add(582, project.root, state="elsewhere")
        (project.private / "made").mkdir()
        (project.private / "made/other.json").write_text(json.dumps({"states": ["elsewhere"]}))
        assert commands.sweep() == 0
        with pytest.raises(CommandError, match="this machine has one") as refused:
            commands.close(582)
        assert "with the backend that opened it" in refused.value.remedy
        assert len(engine.items) == 3


class TestSweep:
    make = TestClose.make

    def test_only_those_whose_time_is_over_go(
        self, project: Project, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for one, until in ((1, EARLIER), (2, LATER), (3, NOW)):
            self.make(project, engine, one, until)  # type: ignore[misc]
        assert commands.sweep() == 0
        assert {name for _, name in engine.items} == {"slipway-pr-2"}
        assert [one.pull_request for one in environments(project, Backend.of(project, {}))] == [2]
        assert commands.sweep() == 0
        assert "nothing to remove" in capsys.readouterr().err

    def test_one_that_was_opened_again_meanwhile_stays(
        self, project: Project, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.make(project, engine, 1, EARLIER)  # type: ignore[misc]

        def extended(_: Stack) -> None:
            write_state(project, "pr-1", str(Record(LATER, 100)))

        monkeypatch.setattr(recovery, "stop", extended)
        assert commands.sweep() == 0
        assert len(engine.items) == 3

    def test_one_that_cannot_be_removed_keeps_no_other(
        self,
        project: Project,
        engine: FakeEngine,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.make(project, engine, 1, EARLIER)  # type: ignore[misc]
        self.make(project, engine, 2, EARLIER)  # type: ignore[misc]

        def busy(stack: Stack) -> None:
            if stack.name == "pr-1":
                raise CommandError("another update runs", "Wait.")

        monkeypatch.setattr(recovery, "stop", busy)
        assert commands.sweep() == 1
        assert {name for _, name in engine.items} == {"slipway-pr-1"}
        assert "pull request 1: another update runs" in capsys.readouterr().err

    def test_what_a_killed_open_left_goes(
        self, project: Project, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_state(project, "pr-1")  # a stack without its tag, from another clone
        write_file(project, 2, EARLIER)  # a file without a stack
        write_state(project, "pr-3", resources=[{"urn": "x", "type": "y"}])  # somebody's stack
        # Locks: of an `open` that was killed at once, and of one that runs.
        (project.private / "running").mkdir()
        (project.private / "running/pr-8.lock").touch()
        held = FileLock(project.private / "running/pr-9.lock")
        held.take("./slip review")
        monkeypatch.setattr(os, "getpid", lambda: 1)
        # What Pulumi leaves if it is killed while it removes a stack.
        write_state(project, "pr-4", str(Record(CLOSING)))
        pulumi = project.private / "state/.pulumi"
        (pulumi / "stacks/slipway/pr-4.json").unlink()
        (pulumi / "history/slipway/pr-5").mkdir(parents=True)
        (pulumi / "history/slipway/pr-5/pr-5-1.history.json").touch()
        assert commands.sweep() == 0
        assert left(project) == ["pr-3.json", "pr-9.lock"]
        held.release()


class Opening:
    """A clone in which environments are opened without an update."""

    @pytest.fixture(autouse=True)
    def _made(self, project: Project, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        project.config_file("review").write_text(TEMPLATE)
        self.project, self.opened = project, list[str]()
        self.problems: tuple[Problem, ...] = ()
        self.engine_ports: dict[str, set[int]] = {}

        def open_stack(name: str, *, create: bool, project: Project) -> Stack:
            assert create
            write_state(project, name)
            return Stack(project, name, Backend.of(project, {}), Pulumi(project))  # type: ignore[arg-type]

        def up(update: updates.Update) -> int:
            self.opened.append(update.stack)
            return 0

        monkeypatch.setattr(opening, "open_stack", open_stack)
        monkeypatch.setattr(opening, "in_force", lambda *_: InForce(self.problems))
        monkeypatch.setattr(updates, "up", up)
        monkeypatch.setattr(
            ports, "of_hosts", lambda: {name: set(own) for name, own in self.engine_ports.items()}
        )
        monkeypatch.setattr(ports, "is_held", lambda _: False)

    def records(self) -> dict[int, Record | None]:
        found = environments(self.project, Backend.of(self.project, {}))
        return {one.pull_request: one.record for one in found}


class TestOpen(Opening):
    def test_each_has_ports_of_its_own_and_keeps_them(self) -> None:
        assert opening.run(582, None) == 0
        assert opening.run(583, timedelta(hours=1)) == 0
        expected = {582: Record(LATER, 200), 583: Record(NOW + timedelta(hours=1), 300)}
        assert self.records() == expected
        self.engine_ports = {"pr-582": {2400, 8280}, "pr-583": {2500, 8380}}
        assert opening.run(583, timedelta(hours=2)) == 0
        assert self.records() == expected | {583: Record(NOW + timedelta(hours=2), 300)}
        assert self.opened == ["pr-582", "pr-583", "pr-583"]

    def test_ports_that_another_clone_has_planned_are_taken(self) -> None:
        write_state(self.project, "pr-1", str(Record(LATER, 200)))
        assert opening.run(582, None) == 0
        assert self.records()[582] == Record(LATER, 300)

    def test_ports_that_somebody_else_has_by_now_are_given_up(self) -> None:
        write_state(self.project, "pr-582", str(Record(LATER, 200)))
        self.engine_ports = {"other": {2400}}
        assert opening.run(582, None) == 0
        assert self.records() == {582: Record(LATER, 300)}

    def test_one_more_than_may_be_is_refused(self) -> None:
        for one in (1, 2):
            assert opening.run(one, timedelta(days=one)) == 0
        with pytest.raises(CommandError, match=r"limit is 2: 1, 2") as refused:
            opening.run(3, None)
        assert "review close 1`" in refused.value.remedy
        assert opening.run(2, None) == 0
        write_state(self.project, "pr-2", str(Record(EARLIER, 0)))
        with pytest.raises(CommandError) as refused:
            opening.run(3, None)
        assert "`./slip review sweep` removes these" in refused.value.remedy
        assert not self.project.config_file("pr-3").exists()

    def test_a_half_removed_one_is_removed_first(self, engine: FakeEngine) -> None:
        write_state(self.project, "pr-582", str(Record(CLOSING, 200)), [{"urn": "x", "type": "y"}])
        engine.add(582, self.project.root)
        assert opening.run(582, None) == 0
        assert not engine.items
        assert self.records() == {582: Record(LATER, 200)}

    def test_a_stack_of_this_name_is_refused(self) -> None:
        self.project.config_file("pr-582").write_text("config: {slipway:platform: {kind: local}}\n")
        with pytest.raises(CommandError, match="was not opened by"):
            opening.run(582, None)
        assert self.opened == []

    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            (None, "Pulumi.review.yaml is missing"),
            ("config: [\n", "Pulumi.review.yaml, line"),
            (TEMPLATE.replace("kind: local", "kind: aws"), "review environments are on local only"),
            (
                TEMPLATE.replace("build: {context: app}", "build: {context: app}, secrets: [KEY]"),
                "no value: KEY",
            ),
        ],
    )
    def test_a_template_that_is_none(self, template: str | None, expected: str) -> None:
        path = self.project.config_file("review")
        path.unlink()
        if template:
            path.write_text(template)
        with pytest.raises(CommandError, match=expected):
            opening.run(582, None)
        assert not self.project.config_file("pr-582").exists()

    def test_mistakes_change_nothing(self) -> None:
        self.problems = (Problem("x", "slipway:x: unknown key"),)
        with pytest.raises(CommandError, match=r"(?s)has mistakes.*slipway:x: unknown key"):
            opening.run(582, None)
        assert not self.project.config_file("pr-582").exists()


GUESTS_TEMPLATE = """\
config:
  slipway:platform: {kind: local, portOffset: 100}
  slipway:hosts:
    box: {roles: [registry, build, app]}
  slipway:operators: {alice: ssh-ed25519 AAAA}
  slipway:review: {hostsOf: staging, limit: 5}
  slipway:services:
    web: {build: {context: app}, domains: [app.example.com], needs: [db, cache], networks: [back]}
    db: {build: {context: db}, health: {tcp: 5432}, networks: [back]}
    cache: {from: db, health: {none: true}, tls: own}
  slipway:secrets: {KEY: {secure: v1:eQ==:eQ==}}
encryptionsalt: v1:dGVtcGxhdGU=:v1:eA==:eA==
"""
STAGING = HostStack(
    "staging", {"web-1": ("app",), "yard": ("registry", "build")}, "yard:5000", guests=2, has_https=False
)


class TestGuests(Opening):
    """Environments on the hosts of another stack."""

    @pytest.fixture(autouse=True)
    def _with_hosts(self, _made: None, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        project.config_file("review").write_text(GUESTS_TEMPLATE)
        outputs = {
            "hosts": {"web-1": {"roles": ["app"]}, "yard": {"roles": ["registry", "build"]}},
            "registryAddress": "yard:5000",
            "reviewGuests": 2,
            "platform": "local",
        }
        stack = {"urn": "s", "type": "pulumi:pulumi:Stack", "outputs": outputs}
        write_state(project, "staging", resources=[stack])
        self.said = {"web-1": "", "yard": ""}
        self.silent: set[str] = set()
        self.asked: list[tuple[str, str]] = []

        async def execute_all(_: object, host: str, asked: list[Command], __: float) -> list[CommandResult]:
            if host in self.silent:
                raise Unreachable("SSH gives no answer")
            values = dict(line.split("=", 1) for line in asked[0].stdin.splitlines()[:2])
            self.asked.append((host, f"{values['ACTION']} {values['STACK']}"))
            return [CommandResult(0, self.said[host], "")]

        monkeypatch.setattr(ssh, "execute_all", execute_all)
        monkeypatch.setattr(
            guests,
            "_stack",
            lambda project, backend, name: Stack(project, name, backend, Pulumi(project)),  # type: ignore[arg-type]
        )
        monkeypatch.setattr(Stack, "outputs", lambda _: outputs)

    def test_a_file_has_the_services_under_names_of_their_own_and_none_of_the_hosts_settings(self) -> None:
        made = guests_text(
            GUESTS_TEMPLATE,
            582,
            Record(NOW, hosts_of="staging", slot=2),
            StackConfig.read_text("", "slipway"),
            "slipway",
            STAGING,
        )
        document = Document.parse(made.encode())
        assert not document.mistakes
        assert document.content == {
            "config": {
                "slipway:platform": {"kind": "local"},
                "slipway:hosts": {"web-1": {"roles": ["app"]}, "yard": {"roles": ["build"]}},
                "slipway:registry": {
                    "external": {
                        "server": "yard:5000",
                        "namespace": "review-2/pr-582",
                        "username": "review-2",
                    }
                },
                "slipway:review": {
                    "hostsOf": "staging",
                    "slot": 2,
                    "pullRequest": 582,
                    "until": "2026-01-02T12:00:00Z",
                },
                "slipway:services": {
                    "pr-582-web": {
                        "tls": "off",
                        "build": {"context": "app"},
                        "domains": ["pr-582.app.example.com"],
                        "needs": ["pr-582-db", "pr-582-cache"],
                        "networks": ["back"],
                    },
                    "pr-582-db": {
                        "tls": "off",
                        "build": {"context": "db"},
                        "health": {"tcp": 5432},
                        "networks": ["back"],
                    },
                    "pr-582-cache": {"tls": "own", "from": "pr-582-db", "health": {"none": True}},
                },
                "slipway:secrets": {"KEY": {"secure": "v1:eQ==:eQ=="}},
            },
            "encryptionsalt": "v1:dGVtcGxhdGU=:v1:eA==:eA==",
        }

    def test_each_is_a_guest_of_its_own_and_stays_that(self) -> None:
        for one in (581, 582, 581):
            assert opening.run(one, None) == 0
        expected = {
            581: Record(NOW + timedelta(hours=72), hosts_of="staging", slot=1),
            582: Record(NOW + timedelta(hours=72), hosts_of="staging", slot=2),
        }
        assert self.records() == expected
        with pytest.raises(
            CommandError, match="have room for 2 review environments, which are there: 581, 582"
        ):
            opening.run(583, None)
        assert commands.close(581) == 0
        assert opening.run(583, None) == 0
        assert self.records()[583] == Record(NOW + timedelta(hours=72), hosts_of="staging", slot=1)

    def test_it_does_not_move_to_other_hosts(self) -> None:
        assert opening.run(581, None) == 0
        self.project.config_file("review").write_text(TEMPLATE)
        with pytest.raises(CommandError, match="is on other hosts than review says now"):
            opening.run(581, None)

    @pytest.mark.parametrize(
        ("outputs", "message"),
        [
            ({}, "the stack staging does not run"),
            ({"hosts": {"yard": {"roles": []}}}, "takes no review environments on its hosts"),
        ],
    )
    def test_a_stack_that_takes_none_is_told(self, outputs: dict[str, Any], message: str) -> None:
        stack = {"urn": "s", "type": "pulumi:pulumi:Stack", "outputs": outputs}
        write_state(self.project, "staging", resources=[stack])
        with pytest.raises(CommandError, match=message):
            opening.run(581, None)
        assert self.records() == {}

    def test_closing_asks_each_host_and_not_this_machines_engine(self, engine: FakeEngine) -> None:
        assert opening.run(581, None) == 0
        engine.add(581, self.project.root)
        assert commands.close(581) == 0
        assert sorted(self.asked) == [("web-1", "remove pr-581"), ("yard", "remove pr-581")]
        assert len(engine.items) == 3
        assert self.records() == {}

    def test_a_host_that_is_silent_keeps_the_record_until_it_answers(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert opening.run(581, None) == 0
        self.silent = {"web-1"}
        with pytest.raises(CommandError, match="web-1 does not answer: SSH gives no answer") as failed:
            commands.close(581)
        assert failed.value.status == 1
        assert self.records() == {581: Record(CLOSING, hosts_of="staging", slot=1)}
        assert commands.sweep() == 1
        self.silent = set()
        assert commands.sweep() == 0
        assert self.records() == {}

    def test_what_a_host_keeps_is_named(self) -> None:
        assert opening.run(581, None) == 0
        self.said["yard"] = "removed\nleft volume pr-581-db.data\n"
        with pytest.raises(CommandError, match=r"left of .* pr-581: volume pr-581-db.data on yard"):
            commands.close(581)
        assert self.records() == {581: Record(CLOSING, hosts_of="staging", slot=1)}

    def test_what_lost_its_state_is_found_on_the_hosts(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert opening.run(581, None) == 0
        self.said["web-1"] = "pr-581\npr-77\n"
        commands.show(as_json=True)
        assert [row["pullRequest"] for row in json.loads(capsys.readouterr().out)] == [581, 77]
        assert commands.sweep() == 0
        assert ("web-1", "remove pr-77") in self.asked
        assert ("web-1", "remove pr-581") not in self.asked

    def test_a_stack_with_guests_is_not_removed(self) -> None:
        assert opening.run(581, None) == 0
        with pytest.raises(CommandError, match="are on the hosts of the stack 'staging': 581"):
            guests.refuse_guests("organization/slipway/staging")
        assert commands.close(581) == 0
        guests.refuse_guests("organization/slipway/staging")


class TestList:
    def test_each_says_until_when_where_and_what_is_wrong(
        self, project: Project, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stack = {
            "urn": "urn:pulumi:pr-1::slipway::pulumi:pulumi:Stack::slipway-pr-1",
            "type": "pulumi:pulumi:Stack",
            "outputs": {"serviceUrls": {"web": ["http://127.0.0.1:8180/"]}},
        }
        write_state(project, "pr-1", str(Record(LATER, 100)), [stack])
        write_file(project, 2, EARLIER)
        write_state(project, "pr-3", str(Record(CLOSING, 100)))
        write_state(project, "pr-4")
        engine.add(9, project.root)
        assert commands.show(as_json=True) == 0
        found = json.loads(capsys.readouterr().out)
        assert [one["pullRequest"] for one in found] == [1, 2, 3, 9]
        assert found[0] == {
            "pullRequest": 1,
            "until": "2026-01-03T12:00:00Z",
            "urls": ["http://127.0.0.1:8180/"],
            "notes": [],
            "hostsOf": "",
        }
        assert [one["notes"][0].partition(",")[0] for one in found[1:]] == [
            "it was never up",
            "its removal was interrupted",
            "its state is gone",
        ]
        assert commands.show(as_json=False) == 0
        shown = capsys.readouterr().out
        assert "2026-01-03T12:00:00Z (1 d)" in shown
        assert "2026-01-02T11:59:00Z (over)" in shown

    @pytest.mark.parametrize(("is_there", "notes"), [(True, []), (False, ["box does not run"])])
    def test_a_dead_host_is_told(
        self,
        project: Project,
        engine: FakeEngine,
        capsys: pytest.CaptureFixture[str],
        is_there: bool,
        notes: list[str],
    ) -> None:
        kind = "docker:index/container:Container"
        host = {"urn": f"urn:pulumi:pr-1::slipway::{kind}::box", "type": kind, "custom": True, "id": "x"}
        stack = {
            "urn": "urn:pulumi:pr-1::slipway::pulumi:pulumi:Stack::slipway-pr-1",
            "type": "pulumi:pulumi:Stack",
            "outputs": {"hosts": {"box": {}}},
        }
        write_state(project, "pr-1", str(Record(LATER, 100)), [stack, host])
        if is_there:
            engine.add(1, project.root)
            engine.items["container", "slipway-pr-1-box"] = engine.items.pop(("container", "slipway-pr-1"))
        assert commands.show(as_json=True) == 0
        assert json.loads(capsys.readouterr().out)[0]["notes"] == notes

    def test_without_any(
        self, project: Project, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert commands.show(as_json=True) == 0
        assert json.loads(capsys.readouterr().out) == []


def test_the_end_of_an_update_names_the_commands_for_it(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    write_file(project, 582, LATER)
    stack = Stack(project, "pr-582", Backend.of(project, {}), FakePulumi(project.root))  # type: ignore[arg-type]
    outputs.summary(stack, {}, [])
    shown = capsys.readouterr().out
    assert "edit the app or Pulumi.review.yaml, then ./slip review open 582" in shown
    assert "./slip review close 582" in shown
    assert "./slip down" not in shown


def test_a_time_is_read_strictly() -> None:
    assert moment("2026-01-02T12:00:00Z") == NOW
    assert moment("2026-01-02") is None
    assert moment(None) is None
    assert Row(1).cells(NOW) == ["1", "", "", ""]
