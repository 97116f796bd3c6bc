"""After an update that was killed the next `./slip up` completes; nothing is lost or left over."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.support.command import Command, Step
from tests.support.http_load import greeting
from tests.support.stack import Stack


@dataclass(frozen=True)
class Moment:
    """The moment to kill: as soon as the engine begins this step."""

    name: str
    operation: str
    resource: str
    kill: Callable[[Command], None]

    def reached(self, step: Step) -> bool:
        """Whether the engine has begun it."""
        return step.name == self.resource and step.operation.startswith(self.operation)


ATTEMPTS = 5
"""Updates that may be complete before the kill, until the test gives up."""
FIRST_UP = (
    # In the order in which a first update comes to them.
    Moment("while the host is made", "create", "box", Command.kill_everything),
    Moment("while its engine is set up", "create", "box-setup", Command.kill_pulumi),
    Moment("while the image is built", "create", "web-image", Command.kill_everything),
)
ROLL_OUT = (
    Moment("while the image is built", "", "web-image", Command.kill_pulumi),
    Moment(
        "between a new container and the switch to it", "update", "web-web-1-switch", Command.kill_everything
    ),
    Moment("while the second host's container is made", "create", "web-web-2", Command.kill_pulumi),
    Moment("while an old container is removed", "delete", "web-web-1", Command.kill_everything),
)


def _kill(stack: Stack, moment: Moment) -> bool:
    """Kill an `up` at this moment. Returns whether it ended by that: a quick machine may complete the update first."""
    command = stack.start_slip("up")
    command.wait_until(moment.name, moment.reached)
    moment.kill(command)
    return command.wait().status != 0


def test_first_up_that_is_killed_again_and_again_is_completed(new_one_host: Stack) -> None:
    """Each `up` completes what the one before it had begun, and is killed itself at a later moment; the last is not."""
    stack = new_one_host
    for moment in FIRST_UP:
        assert _kill(stack, moment), moment.name
    stack.up()
    (url,) = stack.urls()
    assert greeting(url) == "tiny version 1"
    assert len(stack.app_containers("box", all_=True)) == 1
    assert len(stack.traces()["container"]) == 1
    assert stack.up("--refresh", "--expect-no-changes").changes == {}


@pytest.mark.parametrize("moment", ROLL_OUT, ids=lambda moment: moment.name)
def test_roll_out_that_was_killed_is_completed_by_the_next(stack: Stack, moment: Moment) -> None:
    images = stack.registry().images()
    for attempt in range(ATTEMPTS):
        new = f"Hello, not killed {moment.name} {attempt}"
        stack.clone.greet(new)
        if _kill(stack, moment):
            break
    else:
        pytest.fail(f"{ATTEMPTS} updates were complete before the kill")
    stack.up()
    assert {greeting(url) for url in stack.urls()} == {new}
    assert stack.registry().lacks(images) == set()
    for host in ("web-1", "web-2"):
        assert len(stack.app_containers(host)) == 1
    assert len(stack.traces()["container"]) == 3
