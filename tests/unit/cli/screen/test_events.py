"""The engine's event log."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cli.screen.events import Began, Done, Log, Message, Summary, parse
from tests.unit.cli.screen import recordings

URN = "urn:pulumi:local::slipway::slipway:index:Service$docker:index/container:Container::web-web-1"


def line(kind: str, **content: Any) -> str:
    return json.dumps({"sequence": 1, "timestamp": 2, kind: content})


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"preludeEvent": {"config": {}}}', '{"cancelEvent": {}}', "\xff"]
)
def test_what_is_no_event_of_ours_is_left_out(text: str) -> None:
    assert parse(text) is None


def test_a_step_has_its_names_and_what_changed() -> None:
    event = parse(
        line(
            "resourcePreEvent",
            metadata={
                "op": "create-replacement",
                "urn": URN,
                "old": {"parent": "urn:pulumi:local::slipway::slipway:index:Service::web"},
                "new": None,
                "keys": ["image"],
                "diffs": ["envs"],
                "detailedDiff": {
                    "image": {"diffKind": "update-replace"},
                    "envs[0]": {"diffKind": "update"},
                    "ports[0].ip": {"diffKind": "add"},
                },
            },
        )
    )
    assert isinstance(event, Began)
    step = event.step
    assert (step.name, step.parent_name) == ("web-web-1", "web")
    assert step.types == ("slipway:index:Service", "docker:index/container:Container")
    assert step.changed == {"image", "envs", "ports"}
    assert step.replacing == {"image"}


def test_a_refresh_that_finds_nothing_says_so() -> None:
    event = parse(
        line("resOutputsEvent", metadata={"op": "refresh", "urn": URN, "old": {"id": "1"}, "new": None})
    )
    assert isinstance(event, Done)
    assert event.step.is_gone


def test_messages_have_no_colours() -> None:
    event = parse(
        line(
            "diagnosticEvent",
            message="<{%fg 1%}>red<{%reset%}> \x1b[1mbold\x1b[0m",
            severity="warning",
            urn=URN,
        )
    )
    assert event == Message(URN, "warning", "red bold")


def test_a_log_is_read_as_it_grows_by_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        log = Log(descriptor)
        whole = line("summaryEvent", resourceChanges={"same": 1}) + "\n"
        with path.open("a") as file:
            file.write(whole + whole[:10])
        assert list(log.read()) == [Summary({"same": 1})]
        with path.open("a") as file:
            file.write(whole[10:])
        assert list(log.read()) == [Summary({"same": 1})]
        assert list(log.read()) == []
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("name", "counts"), [("first", {"create": 79}), ("no-change", {"same": 79}), ("down", {"delete": 79})]
)
def test_the_real_log_is_understood(name: str, counts: dict[str, int]) -> None:
    assert recordings.record(name).counts == counts
