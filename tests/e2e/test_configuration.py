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


def test_a_preview_with_a_new_account_writes_nothing(stack: Stack) -> None:
    with stack.configured(lambda settings: settings["registry"]["users"].append("new")):
        before = stack.config_file.read_bytes()
        result = stack.slip("preview")
        assert result.status == 0, str(result)
        assert "The preview assumes a password for new" in result.output
        assert result.changes.keys() == {"registry-settings"}
        assert stack.config_file.read_bytes() == before


def _without_services(settings: dict[str, Any]) -> None:
    settings["services"] = {}


def _without_a_host(settings: dict[str, Any]) -> None:
    del settings["hosts"]["web-2"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_without_services, "the whole service web on web-1 and web-2"),
        (_without_a_host, "the host web-2, with its disk and the service web on it"),
    ],
)
def test_what_an_update_would_remove_takes_a_yes(
    stack: Stack, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    containers, resources = stack.traces(), stack.resources()
    with stack.configured(change):
        result = stack.slip("up", "--refresh")
    assert result.status == 3, str(result)
    assert named in result.output
    assert f"pass --yes: `./slip up --yes -s {stack.name}`" in result.output
    assert stack.traces() == containers
    assert stack.resources() == resources


def test_plain_pulumi_refuses_what_yaml_changes(stack: Stack) -> None:
    before = stack.config_file.read_text()
    line = f"sed -i 's/^config:/config:\\n  slipwya:day: 1/' {stack.config_file.name}; pulumi preview -s {stack.name}"
    try:
        result = stack.clone.start(*stack.in_prepared_shell(line)).wait()
    finally:
        stack.config_file.write_text(before)
    assert result.status != 0
    assert f"{stack.config_file.name}, line 2: slipwya:day is not a key" in result.output
    assert "Did you mean slipway:day?" in result.output


def test_default_stack_of_a_fresh_clone_can_be_previewed(stack: Stack) -> None:
    """`./slip` without a stack's name writes the stack `local` on first use, outside git."""
    local = Stack(stack.clone, "local")
    before = local.traces()
    result = local.slip("preview")
    assert result.status == 0, str(result)
    assert not local.config_file.exists(), "a preview makes no configuration"
    assert not list(stack.clone.root.glob(".slipway/state/.pulumi/stacks/slipway/local.json*"))
    assert {"yard", "web-1", "web-2"} <= result.changes.keys()
    assert local.traces() == before
    assert stack.clone.git("status", "--porcelain") == ""
