"""`slip events`, against engines in memory."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli import events
from cli.logs import Wanted
from tests.unit.cli import engines

SECOND = 10**9


def event(action: str, at: int, name: str = "web-a", **more: str) -> dict[str, Any]:
    known = {"name": name, "slipway.service": "web", **more}
    return {
        "Type": "container",
        "Action": action,
        "Actor": {"Attributes": known},
        "timeNano": at * SECOND + 5,
    }


class FakeEngine:
    def __init__(self, *found: dict[str, Any]) -> None:
        self.found = found
        self.asked: dict[str, Any] = {}

    def events(self, **asked: Any) -> Iterator[dict[str, Any]]:
        self.asked = asked
        yield from self.found


ENGINES: dict[str, FakeEngine] = {}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Any:
    engines.give(monkeypatch, ENGINES)

    class Stack:
        name = short_name = "dev"
        option = " -s dev"

        def outputs(self) -> dict[str, Any]:
            return {"hosts": {"web-1": {}, "web-2": {}}}

    return Stack()


def test_events_of_all_hosts_come_in_the_order_of_time(
    stack: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ENGINES["web-1"] = FakeEngine(
        event("start", 1), event("exec_start: sh", 2), event("die", 4, exitCode="137"), event("kill", 4)
    )
    ENGINES["web-2"] = FakeEngine(event("oom", 3, "web-b"), event("health_status: unhealthy", 5, "web-b"))
    assert events.run(stack, Wanted()) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1970-01-01 00:00:01  web-1  web-a: started",
        "1970-01-01 00:00:03  web-2  web-b: reached its memory limit",
        "1970-01-01 00:00:04  web-1  web-a: ended with exit code 137",
        "1970-01-01 00:00:05  web-2  web-b: its image's health check says unhealthy",
    ]
    asked = ENGINES["web-1"].asked
    assert asked["filters"] == {"type": ["container"], "label": ["slipway.stack=dev"]}
    assert asked["until"] - asked["since"] == pytest.approx(events.DAY, abs=3)


def test_a_silent_host_hides_no_other(stack: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ENGINES["web-2"] = FakeEngine(event("start", 1), event("destroy", 2))
    assert events.run(stack, Wanted.of(None, "", "remove", follow=False), as_json=True) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == {
        "time": "1970-01-01T00:00:02.000000005Z",
        "service": "web",
        "host": "web-2",
        "container": "web-a",
        "text": "removed",
    }
    assert "the engine of web-1: no answer. `./slip verify -s dev`" in said.err
