"""Lines at the width of a terminal."""

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from cli import console

ROOT = Path(console.__file__).parents[1]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("short", "short"),
        (
            "a line of several words that is longer than that",
            "a line of several words that is longer\n  than that",
        ),
        (
            "  indented words of a line that is longer than that",
            "  indented words of a line that is\n    longer than that",
        ),
        # A command is not broken, nor is a word.
        (
            "Correct that, then run `./slip up -s prod` again.",
            "Correct that, then run\n  `./slip up -s prod` again.",
        ),
        ("then do ./slip forget web-1 -s production now", "then do\n  ./slip forget web-1 -s production now"),
        (f"see {'x' * 50} there", f"see\n  {'x' * 50}\n  there"),
        (f"  | {'log ' * 20}", f"  | {'log ' * 20}"),
    ],
)
def test_lines_are_broken_between_words(line: str, expected: str) -> None:
    assert console.wrapped(line) == expected


def on_terminal(code: str, columns: int, **variables: str) -> str:
    """What Python code prints on a terminal of this width."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, columns))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", **variables}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdin=slave, stdout=slave, stderr=slave, env=environment
    ):
        os.close(slave)
        found = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:
                break
            if not part:
                break
            found += part
    os.close(master)
    return found.decode().replace("\r\n", "\n")


PANEL = """
from cli import console
console.facts("Slipway: the stack local runs", [
    ("Services", "web on web-1  http://127.0.0.1:8081/\\nweb on web-2  http://127.0.0.1:8082/"),
    ("Log in", "./slip account password deploy |\\n  docker login 127.0.0.1:5000 -u deploy --password-stdin"),
    ("Change", "edit the app or Pulumi.local.yaml, then ./slip up")])
"""


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("columns", [60, 110])
def test_the_commands_of_a_panel_are_whole(columns: int, variables: dict[str, str]) -> None:
    shown = on_terminal(PANEL, columns, **variables)
    assert ("\x1b" in shown) == (not variables)
    plain = console_codes(shown)
    assert "docker login 127.0.0.1:5000 -u deploy --password-stdin" in plain
    assert all(len(line) <= columns for line in plain.splitlines()), plain
    assert plain.startswith("─ Slipway: the stack local runs ──")


def console_codes(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_lines_are_plain_where_no_colours_are_wanted(variables: dict[str, str]) -> None:
    code = (
        "from cli.screen.status_line import StatusLine\n"
        "screen = StatusLine(); screen.status('busy'); screen.show('✓', 'web on web-1', 'healthy'); screen.close()"
    )
    assert on_terminal(code, 60, **variables) == "✓ web on web-1       healthy\n"


def test_the_status_is_below_the_lines_and_goes_at_the_end() -> None:
    code = (
        "from cli.screen.status_line import StatusLine\n"
        "screen = StatusLine(); screen.status('x' * 200); screen.show('✓', 'web', 'healthy'); screen.close()"
    )
    shown = console_codes(on_terminal(code, 60))
    assert shown.endswith("\r\x1b[K")
    first, line, *_ = shown.split("\r\x1b[K")[1:]
    assert len(first) < 60
    assert line.startswith("✓ web                healthy\n… xxx")
