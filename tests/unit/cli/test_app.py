"""The command line: help, options, exit statuses, and modules that it must not import."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import __main__ as command
from cli import app as command_line
from cli import console
from cli.errors import CommandError
from cli.update import updates
from cli.version import VERSION

ROOT = Path(command_line.__file__).parent.parent


def slip(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as the launcher does, without a terminal."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        cwd="/",
    )


COMMANDS = [
    "up",
    "preview",
    "down",
    "verify",
    "env",
    "forget",
    "output",
    "version",
    "account",
    "login",
    "logout",
    "images",
]


@pytest.fixture(scope="module")
def overview() -> str:
    result = slip("--help")
    assert result.returncode == 0
    return result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overview_has_every_command(overview: str, name: str) -> None:
    assert f"\n  {name} " in overview


def test_the_overview_is_plain_and_tells_the_exit_statuses(overview: str) -> None:
    assert "\x1b" not in overview
    assert not set(overview) & set("╭│─")
    for status in (
        "0 success",
        "1 an update or a check failed",
        "2 wrong usage",
        "3 the command could not start",
    ):
        assert status in " ".join(overview.split())


@pytest.mark.parametrize("arguments", [["up", "--nonsense"], ["nonsense"], ["forget"]])
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    result = slip(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Error" in result.stderr


def test_nothing_heavy_is_imported_for_help() -> None:
    code = (
        "import sys; sys.argv = ['slip', '--help']\n"
        "from cli.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'docker', 'requests', 'cryptography', 'yaml', 'pulumi', 'rich', 'settings'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, env=environment
    )
    assert result.stderr.strip() == "[]"


def test_the_everyday_command_builds_no_parser() -> None:
    code = (
        "import sys; sys.argv = ['slip', 'up']\n"
        "import cli.update.updates\n"
        "cli.update.updates.up = lambda update: print(update == cli.update.updates.Update()) or 7\n"
        "from cli.__main__ import main\n"
        "print(main(), sorted({'typer', 'docker', 'rich', 'pulumi', 'ssl', 'importlib.metadata'} & sys.modules.keys()))"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, env=environment
    )
    assert result.stdout.split("\n")[:2] == ["True", "7 []"]


class Asked(list[tuple[tuple[Any, ...], dict[str, Any]]]):
    """Stands in for a command's function: records its calls, and returns an exit status."""

    status = 0

    def __call__(self, *arguments: Any, **options: Any) -> int:
        self.append((arguments, options))
        return self.status


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the commands on stacks are called with."""
    made = Asked()
    for name in ("up", "preview", "down"):
        monkeypatch.setattr(updates, name, made)
    return made


def test_a_parsed_up_asks_for_the_same_as_the_everyday_one(asked: Asked) -> None:
    result = CliRunner().invoke(command_line.app, ["up", "--stack", "local"])
    assert (result.exit_code, asked) == (0, [((updates.Update(),), {})])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--refresh"], ("--refresh",)),
        (["-r", "--diff", "--expect-no-changes"], ("--refresh", "--diff", "--expect-no-changes")),
        (
            ["-p", "4", "-t", "urn:a", "-t", "urn:b"],
            ("--parallel", "4", "--target", "urn:a", "--target", "urn:b"),
        ),
        (["--", "--refresh", "--message", "a b"], ("--refresh", "--message", "a b")),
        (["--diff", "--", "-v", "3"], ("--diff", "-v", "3")),
        (["--", "--target=x", "-m", "-y"], ("--target=x", "-m", "-y")),
    ],
)
def test_options_reach_pulumi(arguments: list[str], expected: tuple[str, ...], asked: Asked) -> None:
    for name in ("up", "preview"):
        assert CliRunner().invoke(command_line.app, [name, *arguments]).exit_code == 0
    assert asked == [
        ((updates.Update(options=expected),), {}),
        (("local", expected), {"emulate": False, "verbose": False, "wanted": None}),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "web"], "error: `up` takes no argument 'web'\n'web' is a service"),
        (["up", "dev"], "Did you mean `./slip up -s dev`?"),
        (["preview", "prd"], "Did you mean `./slip preview -s prod`?"),
        (["down", "staging", "--yes"], "Stacks here: dev, local, prod."),
        (["up", "-s", "dev", "web", "--", "--debug"], "error: `up` takes no argument 'web'"),
        (["up", "--", "web"], "error: 'web' after -- is no option of Pulumi"),
        (["up", "--", "--message", "text", "web"], "error: 'web' after -- is no option of Pulumi"),
        (["up", "--", "https://example.com/template"], "is no option of Pulumi"),
        (["up", "--", "-"], "error: '-' after -- is no option of Pulumi"),
        (["up", "--", "--stack", "prod"], "Use slip's own option: -s STACK"),
        (["preview", "--", "--stack=prod"], "Use slip's own option: -s STACK"),
        (["up", "--", "--debug", "--cwd", "/"], "error: --cwd cannot be passed on to Pulumi"),
        (["down", "--", "-y"], "Use slip's own option: --yes"),
        (["up", "--", "--show-secrets"], "`./slip output --show-secrets`"),
    ],
)
def test_only_options_after_the_separator_go_to_pulumi(
    arguments: list[str],
    said: str,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Pulumi would take a word for a template, and fetch it from the internet."""
    monkeypatch.setattr(sys, "argv", ["slip", *arguments])
    assert command.main() == 2
    assert said in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize("arguments", [["--version"], ["-V"]])
def test_the_version_is_told_at_once(arguments: list[str]) -> None:
    result = slip(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(r"slipway \d+\.\d+\.\d+(\+[\w.]+)?\n", result.stdout)


def test_the_versions_are_told_without_any_tool(tmp_path: Path) -> None:
    result = slip("version", "--json", SLIPWAY_CACHE=str(tmp_path), PATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["slipway"] == VERSION
    assert found["pulumi"].startswith("not installed")
    assert "(not installed)" in found["pulumi-docker"]
    assert (found["docker (client)"], found["docker (engine)"]) == ("not installed", "does not answer")
    assert found["python"] == platform.python_version()
    plain = slip("version", SLIPWAY_CACHE=str(tmp_path), PATH=str(tmp_path))
    assert plain.stdout.startswith("slipway")


def test_down_gets_its_own_options(asked: Asked) -> None:
    asked.status = 5
    result = CliRunner().invoke(
        command_line.app, ["down", "-s", "dev", "-y", "--purge", "--emulate", "--", "--debug"]
    )
    assert result.exit_code == 5
    assert asked == [
        (
            ("dev",),
            {
                "yes": True,
                "purge": True,
                "options": ("--debug",),
                "emulate": True,
                "verbose": False,
            },
        )
    ]


@pytest.mark.parametrize("number", ["0", "x", "-1", "1.5", "²"])
def test_a_wrong_number_is_wrong_usage(number: str) -> None:
    result = CliRunner().invoke(command_line.app, ["up", f"--parallel={number}"])
    assert isinstance(result.exception, CommandError)
    assert result.exception.status == 2
    assert number in result.exception.message


def test_completion_knows_stacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cli.stack.project import Project

    (tmp_path / "Pulumi.yaml").write_text("name: slipway\n")
    (tmp_path / "Pulumi.prod.yaml").write_text("config: {slipway:hosts: {web-1: {}, yard: {}}}\n")
    monkeypatch.setattr(Project, "here", classmethod(lambda cls: cls(tmp_path)))
    assert command_line._stack_names("") == ["local", "prod"]
    assert command_line._stack_names("p") == ["prod"]
    assert command_line._host_names("w") == ["web-1"]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Runs `main` with a command that raises."""

    def run(error: BaseException) -> int:
        def up(_: updates.Update) -> int:
            raise error

        monkeypatch.setattr(updates, "up", up)
        monkeypatch.setattr(sys, "argv", ["slip", "up"])
        return command.main()

    return run


def test_a_refusal_is_one_sentence_and_its_remedy(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(CommandError("the door is shut", "Open it.", status=3)) == 3
    assert capsys.readouterr() == ("", "error: the door is shut\nOpen it.\n")


def test_a_mistake_of_ours_has_no_trace_unless_asked_for(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert failing(KeyError("nothing there")) == 1
    said = capsys.readouterr().err
    assert "KeyError: 'nothing there'" in said
    assert "Traceback" not in said
    monkeypatch.setenv("SLIPWAY_DEBUG", "1")
    with pytest.raises(KeyError):
        failing(KeyError("nothing there"))


def test_an_interrupt_is_status_130(failing: Callable[[BaseException], int]) -> None:
    assert failing(KeyboardInterrupt()) == 130


def test_facts_and_tables_are_plain_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.facts("Title", [("one", "1"), ("empty", ""), ("two", "2\n3")])
    console.table("Title", ("a", "long"), [("first", "x"), ("2", "")])
    assert capsys.readouterr().out == "Title\n  one: 1\n  two: 2\n       3\na      long\nfirst  x\n2\n"


def test_markup_in_values_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "is_rich", lambda _: True)
    console.facts("Title", [("url", "http://[::1]:80/[bold]")])
    console.table("Title", ("a",), [("[red]x[/red]",)])
    console.warn("[/nonsense]")
    shown = capsys.readouterr()
    assert "http://[::1]:80/[bold]" in shown.out
    assert "[red]x[/red]" in shown.out
    assert "[/nonsense]" in shown.err


@pytest.mark.parametrize(("answer", "agreed"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("", False)])
def test_only_a_yes_is_a_yes(answer: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(console, "is_interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    if agreed:
        console.confirm("Really?", remedy="Say --yes.")
    else:
        with pytest.raises(CommandError, match="nothing was changed") as raised:
            console.confirm("Really?", remedy="Say --yes.")
        assert raised.value.status == 1


def test_without_a_terminal_there_is_no_question() -> None:
    with pytest.raises(CommandError, match="no terminal") as raised:
        console.confirm("Really?", remedy="Say --yes.")
    assert (raised.value.status, raised.value.remedy) == (3, "Say --yes.")


@pytest.mark.parametrize(
    "arguments", [["up"], ["up", "-s", "prod"], ["up", "--stack", "prod"], ["up", "--stack=prod"]]
)
def test_the_quick_way_to_an_update_asks_for_the_same(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[updates.Update] = []

    def up(update: updates.Update) -> int:
        asked.append(update)
        return 7

    monkeypatch.setattr(updates, "up", up)
    monkeypatch.setattr(sys, "argv", ["slip", *arguments])
    try:
        status: object = command.main()
    except SystemExit as end:
        status = end.code
    parsed = CliRunner().invoke(command_line.app, arguments)
    assert (status, parsed.exit_code) == (7, 7)
    assert asked[0] == asked[1]
