"""What `down` ends before it removes the hosts."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from cli.errors import CommandError
from cli.stack.stack import Stack
from cli.update import grace

SERVICE = {"urn": "urn:pulumi:local::slipway::slipway:index:Service::web"}
OUTPUTS: dict[str, Any] = {
    "hosts": {"yard": {"roles": ["build"]}, "web-1": {"roles": ["app"]}, "web-2": {"roles": ["app"]}}
}


def _stack(*resources: dict[str, Any], outputs: dict[str, Any] = OUTPUTS) -> Stack:
    stack = SimpleNamespace(deployment=lambda: {"resources": list(resources)}, outputs=lambda: outputs)
    return cast("Stack", stack)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The hosts that got a command; the first of them does not answer."""
    calls: list[tuple[str, str]] = []

    def run(outputs: dict[str, Any], host: str, command: str, patience: float) -> None:
        assert outputs is OUTPUTS
        assert patience > grace.LIMIT
        calls.append((host, command))
        if host == "web-1":
            raise CommandError("web-1 does not answer")

    monkeypatch.setattr("cli.running.ssh.run", run)
    return calls


def test_the_services_of_all_app_hosts_end(asked: list[tuple[str, str]]) -> None:
    grace.end_services(_stack(SERVICE))
    command = "timeout 60 /usr/local/lib/slipway/switch --stop"
    assert sorted(asked) == [("web-1", command), ("web-2", command)]


GUEST = {"urn": "x", "type": "slipway:index:OthersEngine"}
"""In the state of a stack on the hosts of another one, whose services must not end."""


@pytest.mark.parametrize(
    "stack",
    [
        _stack(),
        _stack(SERVICE, {"urn": "x", "protect": True}),
        _stack(SERVICE, outputs={}),
        _stack(SERVICE, GUEST),
    ],
)
def test_nothing_ends_where_nothing_runs_or_pulumi_will_refuse(
    stack: Stack, asked: list[tuple[str, str]]
) -> None:
    grace.end_services(stack)
    assert asked == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--yes", "--skip-preview"], True),
        (["--yes", "--refresh"], True),
        ([], False),
        (["--yes", "--target", "x"], False),
        (["--yes", "--target=x"], False),
        (["--yes", "-t", "x"], False),
        (["--yes", "--preview-only"], False),
    ],
)
def test_only_a_removal_without_a_question_ends_services(options: list[str], expected: bool) -> None:
    assert grace.removes_all(options) is expected
