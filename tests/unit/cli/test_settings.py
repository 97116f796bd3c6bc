"""`slip config`: what a setting is, where its value comes from, and that only what the program accepts is written."""

import json
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.settings import command
from cli.settings.schema import Schema, UnknownSetting
from cli.stack.project import Project
from configuration import reference

TEXT = """\
# The stack.
config:
  slipway:platform: {kind: local}
  slipway:hosts: {web-1: {roles: [registry, build, app]}}
  slipway:services:
    web:
      build: {context: app}
      port: 3000  # ours
      secrets: [KEY]
  slipway:passwords: {hosts: {secure: 'v1:eA==:eA=='}}
  slipway:secrets: {KEY: {secure: 'v1:c2VjcmV0:eA=='}}
"""


@pytest.fixture
def file(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Project, "here", classmethod(lambda _: project))
    # The rules are the repository's own.
    monkeypatch.setattr(command, "in_force", _in_force)
    (project.root / "app").mkdir()
    (project.root / "app" / "Dockerfile").write_text("FROM scratch\n")
    path = project.config_file("local")
    path.write_text(TEXT)
    return path


def _in_force(project: Project, stack: str, text: str) -> object:
    from cli.settings.program import InForce, Problem
    from configuration.in_force import report

    said = json.loads(json.dumps(report(text, stack, project.root)))
    problems = tuple(Problem(each["path"], each["text"]) for each in said["problems"])
    return InForce(problems, said["settings"], said["derived"])


class TestSchema:
    def test_every_setting_of_the_reference_is_known_with_its_meaning(self) -> None:
        schema = Schema.read()
        general = {each.path: each for each in schema.everything()}
        rows = {row.path.removeprefix("slipway:"): row for row in reference.rows()}
        assert general.keys() == rows.keys()
        for path, row in rows.items():
            found = general[path]
            assert found.meaning == row.documentation.meaning, path
            assert found.platform == (row.documentation.platform or ""), path
            default = found.default or f"r{found.required.removesuffix('.')[1:]}"
            assert default == row.documentation.default, path

    @pytest.mark.parametrize(
        "path", ["services.web.build.base.context", "slipway:hosts.web-1.slot", "protect"]
    )
    def test_names_of_users_are_part_of_a_path(self, path: str) -> None:
        assert Schema.read().setting(path).path == path.removeprefix("slipway:")

    @pytest.mark.parametrize(
        ("path", "meant"),
        [
            ("servises.web", "Did you mean services?"),
            ("services.web.prot", "Did you mean services.web.port?"),
            ("services.Web_1.port", "'Web_1' is not a name that fits there"),
            ("services.web.port.x", "no such setting"),
            ("secrets.A.secure", "no such setting"),
            ("", "There are: platform"),
        ],
    )
    def test_a_wrong_path_is_told_what_may_be_meant(self, path: str, meant: str) -> None:
        with pytest.raises(UnknownSetting) as raised:
            Schema.read().setting(path)
        assert meant in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value", "source"),
    [
        ("services.web.port", 3000, "Pulumi.local.yaml, line 8"),
        ("services.web.health", "/up", "derived"),
        ("services.web.hosts", ["web-1"], "derived"),
        ("hosts.web-1.slot", 1, "derived"),
        ("registry.port", 5000, "derived"),
        ("secrets.KEY", "[secret]", "Pulumi.local.yaml, line 11"),
        ("services.web.domain", None, None),
    ],
)
def test_a_value_is_shown_with_its_source(
    file: Path, key: str, value: object, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command.explain("local", key, as_json=True)
    shown = capsys.readouterr().out
    found = json.loads(shown)
    assert (found["value"], found["source"]) == (value, source)
    assert found["meaning"]
    assert "v1:" not in shown


def test_all_values_are_listed_without_secrets(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.show_all("local", as_json=True)
    shown = capsys.readouterr().out
    paths = {each["path"]: each["value"] for each in json.loads(shown)}
    assert paths["services.web.port"] == 3000
    assert paths["secrets.KEY"] == paths["passwords.hosts"] == "[secret]"
    assert "platform.region" not in paths
    assert "v1:" not in shown


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("services.web.port", "80", "port: 3000  # ours", "port: 80    # ours"),
        ("slipway:platform.portOffset", "100", "{kind: local}", "{kind: local, portOffset: 100}"),
        ("services.web.env", "{LEVEL: debug}", "[KEY]\n", "[KEY]\n      env:\n        LEVEL: debug\n"),
        ("services.web.health", "yes", None, None),
        ("services.web.domain", "app.example.com", "[KEY]\n", "[KEY]\n      domain: app.example.com\n"),
        ("services.web.port", None, "      port: 3000  # ours\n", ""),
    ],
)
def test_what_the_program_accepts_is_written_and_nothing_else_changes(
    file: Path, key: str, value: str | None, old: str | None, new: str | None
) -> None:
    if old is None or new is None:
        with pytest.raises(CommandError, match="nothing was changed"):
            command.set_("local", key, value)
        assert file.read_text() == TEXT
    else:
        command.set_("local", key, value)
        assert file.read_text() == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("services.web.port", "70000", "services.web.port = 70000"),
        ("services.web.port", "many", "services.web.port"),
        ("services.web.memory", "[1", "is not YAML"),
        ("hosts.web-1.roles", "[app]", "registry"),
        ("hosts.web-1.type", "t3.small", "a setting of the platform aws"),
        ("services.web.prot", "1", "Did you mean services.web.port"),
        ("services.web.build.context", None, "services.web.build"),
    ],
)
def test_what_the_program_refuses_changes_nothing(
    file: Path, key: str, value: str | None, expected: str
) -> None:
    with pytest.raises(CommandError) as raised:
        command.set_("local", key, value)
    assert expected in raised.value.message
    assert file.read_text() == TEXT


def test_a_mistake_that_was_there_before_is_no_reason(file: Path) -> None:
    file.write_text(TEXT.replace("[KEY]", "[KEY]\n      health: up"))
    command.set_("local", "services.web.port", "80")
    assert "port: 80" in file.read_text()


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("secrets.KEY", "`./slip secret set KEY` asks"),
        ("secrets", "`./slip secret set NAME` asks"),
        ("passwords.hosts", "`./slip account rotate hosts` makes"),
    ],
)
def test_a_secret_is_no_argument(file: Path, key: str, remedy: str) -> None:
    with pytest.raises(CommandError) as raised:
        command.set_("local", key, "value-of-the-secret")
    assert remedy in raised.value.remedy
    assert "value-of-the-secret" not in str(raised.value)
    assert file.read_text() == TEXT
