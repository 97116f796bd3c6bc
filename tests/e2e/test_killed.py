"""After an update that was killed the next `./slip up` completes by itself; nothing is lost or left over."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.e2e.command import Command, Step
from tests.e2e.load import greeting
from tests.e2e.stack import PATIENCE, Stack


@dataclass(frozen=True)
class Moment:
    """When to kill: as soon as the engine begins this."""

    name: str
    operation: str
    resource: str
    kill: Callable[[Command], None]

    def reached(self, step: Step) -> bool:
        """Whether this step is it."""
        return step.name == self.resource and step.operation.startswith(self.operation)


FIRST_UP = (
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


def _kill(stack: Stack, moment: Moment) -> None:
    command = stack.start_slip("up")
    command.wait_until(moment.name, moment.reached, PATIENCE)
    moment.kill(command)
    killed = command.wait(60)
    assert killed.status != 0, str(killed)


@pytest.mark.parametrize("moment", FIRST_UP, ids=lambda moment: moment.name)
def test_first_up_that_was_killed_is_completed_by_the_next(one_host: Stack, moment: Moment) -> None:
    _kill(one_host, moment)
    one_host.up()
    (url,) = one_host.urls()
    assert greeting(url) == "tiny version 1"
    assert len(one_host.app_containers("box", all_=True)) == 1
    assert len(one_host.traces()["container"]) == 1
    assert one_host.up("--refresh", "--expect-no-changes").changes == {}


@pytest.mark.parametrize("moment", ROLL_OUT, ids=lambda moment: moment.name)
def test_roll_out_that_was_killed_is_completed_by_the_next(stack: Stack, moment: Moment) -> None:
    images = stack.registry().images()
    new = f"Hello, not killed {moment.name}"
    stack.clone.greet(new)
    _kill(stack, moment)
    stack.up()
    assert {greeting(url) for url in stack.urls()} == {new}
    assert stack.registry().lacks(images) == set()
    for host in ("web-1", "web-2"):
        assert len(stack.app_containers(host)) == 1
    assert len(stack.traces()["container"]) == 3
