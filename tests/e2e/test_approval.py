"""What was approved is what happens: `./slip up --approved` refuses every other plan, and changes nothing then."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Result
from tests.support.http_load import greeting
from tests.support.registry_client import Client
from tests.support.stack import Stack

SERVER = "tests/e2e/fixtures/tiny/server.pl"
SET_UP_FILE = "/usr/local/lib/slipway/switch"


@pytest.fixture(scope="module")
def running(one_host: Stack) -> Stack:
    one_host.up()
    return one_host


def _slip(stack: Stack, command: str, *options: str) -> Result:
    """A command without the tests' own option for Pulumi, which would be a part of the plan."""
    return stack.clone.start("./slip", command, "--stack", stack.name, *options).wait()


def _refused(stack: Stack, approved: str, *differences: str) -> None:
    containers, state = stack.app_containers("box", all_=True), stack.state()
    result = _slip(stack, "up", "--approved", approved)
    said = " ".join(result.output.split())
    assert result.status == 3, str(result)
    assert stack.state() == state
    assert "is not the approved one, and nothing was changed" in said, str(result)
    for difference in differences:
        assert re.search(difference, said), f"{difference} in {result}"
    assert stack.app_containers("box", all_=True) == containers
    assert {greeting(url) for url in stack.urls()} == {"tiny version 1"}


def test_only_the_approved_plan_happens(running: Stack, tmp_path: Path) -> None:
    stack, clone, plan = running, running.clone, tmp_path / "plan.json"
    with clone.edited(SERVER, "tiny version 1", "tiny version approved"):
        saved = _slip(stack, "preview", "--save", str(plan))
        assert saved.status == 0, str(saved)
        approved: dict[str, Any] = json.loads(plan.read_text())
        assert approved["hash"] in saved.output

        # Another tree.
        with clone.edited(SERVER, "version approved", "version smuggled"):
            _refused(stack, approved["hash"], "image web: .* was approved, .* is now")

        # Other settings.
        def more_memory(settings: dict[str, Any]) -> None:
            settings["services"]["web"]["memory"] = 300

        with stack.configured(more_memory):
            _refused(stack, approved["hash"], "configuration: slipway:services was changed", "memory")

        # Something else under the image's tag, and a host that was changed by hand. The file stands for the hash.
        tag = approved["images"]["web"]["tag"]
        with Client.of(stack.registry()) as client:
            client.push("web", tag)
        mode = stack.on_host("box", "stat", "--format", "%a", SET_UP_FILE).strip()
        stack.on_host("box", "chmod", "777", SET_UP_FILE)
        _refused(stack, str(plan), "changed by hand since: .*" + SET_UP_FILE, "image web: .* was approved")
        stack.on_host("box", "chmod", mode, SET_UP_FILE)

        # The plan of now, once somebody has approved that, happens without a question, and once.
        assert _slip(stack, "preview", "--save", str(plan)).status == 0
        done = _slip(stack, "up", "--approved", str(plan))
        assert done.status == 0, str(done)
        assert {greeting(url) for url in stack.urls()} == {"tiny version approved"}
        again = _slip(stack, "up", "--approved", str(plan))
        assert again.status == 3, str(again)
        assert "web-box" in again.output
