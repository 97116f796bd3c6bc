"""On a terminal: an interrupt ends each command with 130, and lines fit narrow ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.docker_command import paused
from tests.support.stack import Stack
from tests.support.terminal import CTRL_C, Terminal, terminal


@contextmanager
def _slip(stack: Stack, *arguments: str, columns: int = 80) -> Iterator[Terminal]:
    command, *options = arguments
    line = ("./slip", command, *options[:1], "--stack", stack.name, *options[1:])
    with terminal(line, stack.clone.root, stack.clone.environment, columns) as opened:
        yield opened
        stack.clone.printed.append(opened.output)


@pytest.mark.parametrize(
    ("arguments", "sign"),
    [
        (("up", "--refresh"), "… "),
        (("preview",), "… "),
        (("down",), "[y/N]"),
        (("logs", "proxy", "--follow"), "web-1 | "),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_interrupt_ends_every_command_with_130(
    stack: Stack, arguments: tuple[str, ...], sign: str
) -> None:
    with _slip(stack, *arguments) as opened:
        opened.wait_for(sign)
        opened.press(CTRL_C)
        status = opened.wait()
        assert status == 130, opened.output
        assert "Traceback" not in opened.output
    assert stack.app_containers("web-1"), "the interrupt removed something"


def test_an_interrupt_ends_a_verify_that_waits_for_a_host(stack: Stack) -> None:
    with paused(stack.container("web-1")), _slip(stack, "verify") as opened:
        opened.wait_for("Waiting for web-1")
        opened.press(CTRL_C)
        status = opened.wait()
    assert status == 130, opened.output
    assert "Traceback" not in opened.output


def test_an_update_without_a_change_fits_sixty_columns(stack: Stack) -> None:
    with _slip(stack, "up", columns=60) as opened:
        assert opened.wait() == 0, opened.output
        shown = opened.output
    assert "✓ nothing to change: " in shown
    assert "PRIVATE KEY" not in shown
    assert "CERTIFICATE" not in shown
    assert all(url in shown for url in stack.urls())
    assert all(len(line) <= 60 for line in shown.splitlines()), shown
