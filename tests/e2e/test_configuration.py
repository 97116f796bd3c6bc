"""A wrong configuration is reported before anything is touched: every mistake, each with its remedy."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.stack import Stack


def _mistakes(settings: dict[str, Any]) -> None:
    settings["hosts"]["web-1"]["roles"] = ["ap"]
    settings["hosts"]["Yard_2"] = {"roles": ["app"]}
    settings["registry"]["users"] = ["alice:admin"]
    settings["services"]["web"]["health"] = "up"
    settings["services"]["web"]["helth"] = "/up"
    settings["services"]["web"]["build"]["context"] = "nowhere"
    settings["platform"]["portOffset"] = 70000


PATHS = (
    "slipway:hosts.web-1.roles",
    "Yard_2",
    "slipway:registry.users",
    "slipway:services.web.health",
    "slipway:services.web.helth",
    "slipway:services.web.build.context",
    "slipway:platform.portOffset",
)


@pytest.mark.parametrize("command", ["preview", "up"])
def test_every_mistake_is_reported_and_nothing_is_touched(stack: Stack, command: str) -> None:
    containers, resources = stack.traces(), stack.resources()
    with stack.configured(_mistakes):
        result = stack.slip(command)
    assert result.status == 3, str(result)
    for path in PATHS:
        assert path in result.output, f"{path} is not in:\n{result.output}"
    assert "nothing was touched" in result.output
    assert "Traceback" not in result.output
    assert stack.traces() == containers
    assert stack.resources() == resources


def test_a_port_that_another_program_holds_is_named(stack: Stack, listener: Callable[[], int]) -> None:
    port = listener()

    def move_registry(settings: dict[str, Any]) -> None:
        settings["registry"]["port"] = port

    with stack.configured(move_registry):
        result = stack.slip("preview")
    assert result.status == 3, str(result)
    assert f"127.0.0.1:{port}" in result.output
    assert "holds that port" in result.output


def test_default_stack_of_a_fresh_clone_can_be_previewed(stack: Stack) -> None:
    """`./slip` without a stack's name writes the stack `local` on first use, outside git."""
    local = Stack(stack.clone, "local")
    before = local.traces()
    result = local.slip("preview")
    assert result.status == 0, str(result)
    assert local.config_file.exists()
    assert {"yard", "web-1", "web-2"} <= result.changes.keys()
    assert local.traces() == before
    assert stack.clone.git("status", "--porcelain") == ""
