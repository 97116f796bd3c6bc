"""`slip new`: what is wrong or missing, free ports and networks, the file, and that a failure leaves nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import console
from cli.environments import draft, network, new, ports
from cli.environments.draft import FIRST_FILES, Plan
from cli.environments.wish import Clone, Wish, asked, missing, mistakes
from cli.errors import CommandError
from cli.settings.program import InForce
from cli.stack.config import StackConfig
from cli.stack.project import Project
from cli.stack.wanted import wanted
from stackfile.document import Document
from tests.unit.cli.stacks import FakePulumi

DEMO = """\
# About the stack demo.
config:
  slipway:platform: {kind: local, portOffset: 200}
  slipway:hosts:
    box: {roles: [registry, build, app]}  # one is enough
  slipway:registry: {users: [alice], port: 5443, metricsPort: 9200, domain: images.example.com}
  slipway:services:
    web: {build: {context: app}, secrets: [KEY], domain: app.example.com}
  slipway:passwords: {alice: {secure: v1:eA==:eA==}}
  slipway:secrets:
    KEY: {secure: v1:eA==:eA==}
  other:token: {secure: v1:eA==:eA==}
encryptionsalt: v1:eA==:v1:eA==:eA==
"""
AWS = """\
config:
  slipway:platform: {kind: aws, region: eu-central-1, adminCidrs: [10.83.4.0/24]}
  slipway:hosts: {box: {roles: [registry, build, app]}}
"""


@pytest.fixture
def clone(project: Project) -> Clone:
    project.config_file("demo").write_text(DEMO)
    project.config_file("cloud").write_text(AWS)
    return Clone.here(project)


def test_all_mistakes_are_told_at_once(clone: Clone) -> None:
    found = mistakes(clone, Wish("a b", "nobody", "gcp", "here"))
    assert [each.partition(":")[0].split()[0] for each in found] == [
        "the",
        "--like",
        "--platform",
        "--region",
    ]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish("demo"), "there is such a stack"),
        (Wish("DEMO"), "there is such a stack"),
        (Wish("local"), "there is such a stack"),
        (Wish("team/slipway/demo"), "there is such a stack"),
        (Wish("-x"), "use letters"),
        (Wish("x" * 101), "use letters"),
        (Wish("../x"), "use letters"),
        (Wish("x-emulated"), "names that end in -emulated"),
        (Wish("x", like="demo", platform="aws"), "the stack demo is on the platform local"),
        (Wish("x", platform="local", region="eu-central-1"), "--region: the stack is on the platform local"),
        (Wish("x", like="demo", admin_cidrs=("8.8.8.8/32",)), "--admin-cidr: the stack is on"),
    ],
)
def test_what_cannot_be(clone: Clone, wish: Wish, expected: str) -> None:
    (found,) = mistakes(clone, wish)
    assert expected in found


def test_a_stack_that_only_the_backend_has_is_there(clone: Clone, project: Project) -> None:
    assert not mistakes(clone, Wish("old"))
    folder = project.private / "state" / ".pulumi" / "stacks" / "slipway"
    folder.mkdir(parents=True)
    (folder / "old.json").write_text("{}")
    assert mistakes(clone, Wish("old"))


@pytest.mark.parametrize(
    ("wish", "options"),
    [
        (Wish("x"), ["--platform"]),
        (Wish("x", platform="local"), []),
        (Wish("x", like="demo"), []),
        (Wish("x", like="cloud"), []),
        (Wish("x", platform="aws"), ["--region", "--admin-cidr"]),
        (Wish("x", platform="aws", region="eu-west-1"), ["--admin-cidr"]),
    ],
)
def test_what_is_missing_is_named_as_options(clone: Clone, wish: Wish, options: list[str]) -> None:
    assert [each.split()[0] for each in missing(clone, wish)] == options


def test_a_person_is_asked_only_for_what_is_missing(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[str] = iter(["none", "aws", "", "8.8.8.8/32, 1.1.1.1/32"])
    questions = []

    def ask(question: str, default: str) -> str:
        questions.append(question)
        return next(answers) or default

    monkeypatch.setattr(console, "ask", ask)
    wish = asked(clone, Wish("x"))
    assert wish == Wish("x", "", "aws", "eu-central-1", ("8.8.8.8/32", "1.1.1.1/32"))
    assert len(questions) == 4
    assert asked(clone, wish) == wish
    assert asked(clone, Wish("x", like="demo")) == Wish("x", like="demo")
    assert len(questions) == 4


class TestPorts:
    def test_no_port_of_another_stack_or_program_is_taken(self) -> None:
        stack = wanted(StackConfig.read_text(DEMO, "slipway"))
        assert stack
        assert ports.offset(stack, 200, set(), lambda _: False) == 100
        # Other stacks have 2300 (SSH) and 23960 (an engine); a program has 8380.
        taken = {2300, 23960}
        assert ports.offset(stack, 200, taken, lambda port: port == 8380) == 400
        assert ports.offset(stack, 200, taken, lambda _: True) is None

    def test_a_stack_has_its_ports_whether_it_runs_or_not(self) -> None:
        found = ports.of_configurations([StackConfig.read_text(text, "slipway") for text in (DEMO, AWS)])
        assert found == {2400, 23960, 8280, 8643, 5443, 9200}


class TestNetworks:
    def test_it_overlaps_neither_another_stacks_nor_its_clients(self) -> None:
        taken = network.of_configurations([StackConfig.read_text(AWS, "slipway")])
        assert network.cidr(22, taken) == "10.83.8.0/22"
        assert network.cidr(16, taken) == "10.84.0.0/16"

    def test_an_account_may_be_full(self) -> None:
        assert network.cidr(22, network.valid(["10.0.0.0/8"])) is None

    def test_an_existing_network_needs_no_addresses(self) -> None:
        config = StackConfig.read_text(
            AWS.replace("kind: aws", "kind: aws, network: {default: true}"), "slipway"
        )
        assert not network.has_own(config)


class TestFile:
    def content(self, text: str) -> dict[str, Any]:
        document = Document.parse(text.encode())
        assert not document.mistakes
        return document.content

    def test_it_is_like_another_without_what_is_its_own(self) -> None:
        text = draft.text(DEMO, Plan("Stag_ing", "demo", "local", shift=100, port_offset=300), "slipway")
        assert text.startswith("# yaml-language-server: $schema=slipway.schema.json\n# The stack `Stag_ing`")
        assert "About the stack demo" not in text
        assert "# one is enough" in text
        assert self.content(text) == {
            "config": {
                "slipway:platform": {"kind": "local", "portOffset": 300},
                "slipway:hosts": {"box": {"roles": ["registry", "build", "app"]}},
                "slipway:registry": {
                    "users": ["alice"],
                    "port": 5543,
                    "metricsPort": 9300,
                    "domain": "stag-ing.images.example.com",
                },
                "slipway:services": {
                    "web": {
                        "build": {"context": "app"},
                        "secrets": ["KEY"],
                        "domain": "stag-ing.app.example.com",
                    }
                },
            }
        }

    def test_all_names_of_a_service_are_its_own(self) -> None:
        demo = DEMO.replace(
            "domain: app.example.com", 'domains: [a.example.com, "*.a.example.com"], canonical: a.example.com'
        )
        text = draft.text(demo, Plan("x", "demo", "local", port_offset=300), "slipway")
        web = self.content(text)["config"]["slipway:services"]["web"]
        assert web["domains"] == ["x.a.example.com", "*.x.a.example.com"]
        assert web["canonical"] == "x.a.example.com"

    def test_what_is_like_a_review_environment_is_none(self) -> None:
        demo = DEMO.replace(
            "  other:token",
            "  slipway:review: {guests: 2, pullRequest: 582, until: 2026-01-31T12:00:00Z}\n  other:token",
        )
        text = draft.text(demo, Plan("x", "demo", "local", port_offset=300), "slipway")
        assert self.content(text)["config"]["slipway:review"] == {}

    def test_the_first_one_of_each_platform_is_commented_and_has_what_was_said(self) -> None:
        plan = Plan("x", "", "aws", region="eu-west-1", admin_cidrs=("8.8.8.8/32",), cidr="10.83.4.0/22")
        text = draft.text(FIRST_FILES["aws"].read_text(), plan, "slipway")
        assert self.content(text)["config"]["slipway:platform"] == {
            "kind": "aws",
            "region": "eu-west-1",
            "adminCidrs": ["8.8.8.8/32"],
            "network": {"cidr": "10.83.4.0/22"},
            "instanceType": "t3.small",
        }
        for file in FIRST_FILES.values():
            assert file.read_text().count("#") >= 3

    @pytest.mark.parametrize("kind", ["local", "aws"])
    def test_an_editor_finds_the_schema(self, kind: str) -> None:
        text = draft.text(FIRST_FILES[kind].read_text(), Plan("x", "", kind), "slipway")
        assert yaml.safe_load(text)
        assert text.splitlines()[0] == "# yaml-language-server: $schema=slipway.schema.json"


def test_a_failure_leaves_no_file(clone: Clone, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        assert project.config_file("x").exists()
        raise CommandError("no tools")

    monkeypatch.setattr(Project, "here", classmethod(lambda _: project))
    monkeypatch.setattr(console, "is_interactive", lambda: False)
    monkeypatch.setattr(new, "in_force", lambda *_: InForce())
    monkeypatch.setattr(new, "open_stack", fail)
    with pytest.raises(CommandError, match="no tools"):
        new.run(Wish("x", like="demo"), preview=False)
    assert not project.config_file("x").exists()


def test_what_the_backend_has_keeps_its_file(
    clone: Clone, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt after the stack was made: the next `up` goes on from there."""

    def fail(*_: object, **__: object) -> None:
        folder = project.private / "state" / ".pulumi" / "stacks" / "slipway"
        folder.mkdir(parents=True)
        (folder / "x.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(new, "open_stack", fail)
    with pytest.raises(KeyboardInterrupt):
        new._made(clone, "x", "config: {}")
    assert project.config_file("x").exists()


def test_a_backend_without_files_is_asked_for_the_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli.environments import stacks

    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://states")
    pulumi = FakePulumi(project.config_file("x"))
    monkeypatch.setattr(pulumi, "read", lambda *_: '[{"name": "team/slipway/old"}, {"name": "plain"}]')
    monkeypatch.setattr(stacks, "pulumi_of", lambda *_: pulumi)
    clone = Clone.here(project)
    assert mistakes(clone, Wish("old"))
    assert mistakes(clone, Wish("team/slipway/plain"))
    assert not mistakes(clone, Wish("new"))


def test_a_file_of_another_command_stays(clone: Clone, project: Project) -> None:
    path: Path = project.config_file("x")
    path.write_text("config: {}")
    with pytest.raises(CommandError, match="another command"):
        new._made(clone, "x", "config: {}")
    assert path.read_text() == "config: {}"
