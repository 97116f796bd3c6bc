"""`slip secret`: names and values, and that no value is shown."""

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from cli import console
from cli.errors import CommandError
from cli.stack import secrets
from cli.stack.project import Project
from tests.unit.cli.stacks import asked, make_stack

VALUE = "a-secret-value"
CONFIG = """
config:
  slipway:services:
    web: {build: {context: app}, secrets: [A, B]}
    api: {build: {context: app}, secrets: [B]}
  slipway:secrets: {A: {secure: 'v1:eA==:eA=='}, OLD: {secure: 'v1:eA==:eA=='}}
"""


class Input(io.StringIO):
    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.buffer = io.BytesIO(data)  # type: ignore[misc]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Gives standard input, which is no terminal."""
    monkeypatch.setattr(console, "is_interactive", lambda: False)
    return lambda data: monkeypatch.setattr(sys, "stdin", Input(data))


def sent(stack: Any) -> dict[str, str | None]:
    """What Pulumi got on standard input, by path. No argument has it."""
    assert not any(VALUE in argument for arguments, _ in asked(stack) for argument in arguments)
    return {arguments[arguments.index("--path") + 1]: stdin for arguments, stdin in asked(stack)}


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (VALUE.encode(), VALUE),
        (f"{VALUE}\n".encode(), VALUE),
        (f"{VALUE}\r\n".encode(), VALUE),
        # Pulumi removes one line break.
        (f"{VALUE}\n\n".encode(), f"{VALUE}\n\n"),
        ("zwei\nZeilen: ü".encode(), "zwei\nZeilen: ü"),
        (b" A=b ", " A=b "),
    ],
)
def test_one_secret_is_all_of_standard_input(
    project: Project,
    given: Callable[[bytes], None],
    data: bytes,
    value: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stack = make_stack(project, CONFIG)
    given(data)
    secrets.set_(stack, ["B"])
    assert sent(stack) == {"slipway:secrets.B": value}
    shown = "".join(capsys.readouterr())
    assert "Set B (encrypted in Pulumi.local.yaml)" in shown
    assert VALUE not in shown


def test_several_are_lines(
    project: Project, given: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stack = make_stack(project, CONFIG)
    given(f"X={VALUE}=1\nB= 2\nREST=3\n".encode())
    secrets.set_(stack, ["X", "B"])
    assert sent(stack) == {"slipway:secrets.X": f"{VALUE}=1", "slipway:secrets.B": " 2"}
    assert "No service uses X yet" in "".join(capsys.readouterr())


def test_without_a_name_those_that_are_missing_are_set(
    project: Project, given: Callable[[bytes], None]
) -> None:
    stack = make_stack(project, CONFIG)
    given(VALUE.encode())
    secrets.set_(stack, [])
    assert sent(stack) == {"slipway:secrets.B": VALUE}


def test_a_terminal_is_asked_without_an_echo(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = make_stack(project, CONFIG)
    monkeypatch.setattr(console, "is_interactive", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt, **_: f"{VALUE} of {prompt}")
    secrets.set_(stack, ["A", "B"])
    assert sent(stack) == {f"slipway:secrets.{name}": f"{VALUE} of {name}: " for name in "AB"}


@pytest.mark.parametrize(
    ("names", "data", "expected"),
    [
        (["A=" + VALUE], b"", "'A…' is not a secret's name"),
        (["1A"], b"", "'1A' is not a secret's name"),
        (["A-B"], b"", "'A-B' is not a secret's name"),
        (["A"], b"", "the value of A is empty"),
        (["A"], b"\n", "the value of A is empty"),
        (["A"], b"x\0y", "has a NUL byte"),
        (["A"], b"\xff", "is not text in UTF-8"),
        (["A"], b"x" * 65_537, "has 65537 bytes, and 65536 fit"),
        (["A", "B"], b"A=1\n", "standard input has no line for B"),
    ],
)
def test_what_cannot_be_a_secret_changes_nothing(
    project: Project, given: Callable[[bytes], None], names: list[str], data: bytes, expected: str
) -> None:
    stack = make_stack(project, CONFIG)
    given(data)
    with pytest.raises(CommandError, match=expected) as raised:
        secrets.set_(stack, names)
    assert raised.value.status == 2
    assert VALUE not in f"{raised.value.message} {raised.value.remedy}"
    assert asked(stack) == []


def test_the_list_has_names_and_users_only(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    make_stack(project, CONFIG)
    secrets.show(project, "local", as_json=True)
    out, _ = capsys.readouterr()
    assert json.loads(out) == {
        "A": {"set": True, "usedBy": ["web"]},
        "B": {"set": False, "usedBy": ["web", "api"]},
        "OLD": {"set": True, "usedBy": []},
    }
    secrets.show(project, "local", as_json=False)
    out, err = capsys.readouterr()
    assert "`./slip secret set B` sets what is missing" in err
    assert "v1:" not in out + err


def test_the_list_needs_no_configuration(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    secrets.show(project, "local", as_json=False)
    assert "No secret is set" in capsys.readouterr().err
    assert not project.config_file("local").exists()


def test_an_external_registrys_password_is_one_of_them(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    make_stack(project, "config: {slipway:registry: {external: {server: docker.io, username: x}}}")
    secrets.show(project, "local", as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "REGISTRY_PASSWORD": {"set": False, "usedBy": ["the external registry"]}
    }


def test_the_password_of_an_account_elsewhere_is_one_of_them(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    account = "{username: bot, password: {secret: TOKEN}}"
    make_stack(project, f"config: {{slipway:registry: {{sources: {{ghcr.io: {account}}}}}}}")
    secrets.show(project, "local", as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "TOKEN": {"set": False, "usedBy": ["the account at ghcr.io"]}
    }


def test_a_secret_in_use_is_removed_after_a_question(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack(project, CONFIG)
    monkeypatch.setattr(console, "is_interactive", lambda: False)
    with pytest.raises(CommandError, match="needs a confirmation"):
        secrets.remove(stack, "A", yes=False)
    assert asked(stack) == []
    secrets.remove(stack, "A", yes=True)
    secrets.remove(stack, "OLD", yes=False)
    assert [arguments[-1] for arguments, _ in asked(stack)] == ["slipway:secrets.A", "slipway:secrets.OLD"]
    with pytest.raises(CommandError, match="the secret B is not set") as raised:
        secrets.remove(stack, "B", yes=True)
    assert raised.value.remedy == "Secrets there: A, OLD."
