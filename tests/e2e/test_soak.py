"""Long runs: roll-outs that are killed at any moment, and many roll-outs in a row. `make soak` runs them."""

import os
import random
import re
import time

import pytest

from tests.support.command import Command
from tests.support.http_load import Load, greeting
from tests.support.stack import Stack

pytestmark = pytest.mark.soak

KILLS = int(os.environ.get("SLIPWAY_SOAK_KILLS", "24"))
"""Updates to kill."""
ROLL_OUTS = int(os.environ.get("SLIPWAY_SOAK_ROLL_OUTS", "30"))
"""Roll-outs in a row."""
SEED = int(os.environ.get("SLIPWAY_SOAK_SEED", "1"))
"""Decides the moments of the kills. A failure is repeated with the same seed."""
SOAK_LIMIT = 6 * 3600
"""Seconds that one test may take."""
WARM_UP = 5
"""Roll-outs before anything is measured. By then the registry and the hosts remove as much as a roll-out adds."""

HOSTS = ("web-1", "web-2")


@pytest.mark.timeout(SOAK_LIMIT, func_only=True)
def test_roll_outs_that_are_killed_at_any_moment_cost_no_request(stack: Stack) -> None:
    moments = random.Random(SEED)
    stack.clone.greet("Hello, before the kills")
    # How long a roll-out takes here bounds the moments.
    usual = stack.up().seconds
    killed = 0
    for number in range(KILLS):
        new = f"Hello, kill {number}"
        stack.clone.greet(new)
        kill = moments.choice((Command.kill_everything, Command.kill_pulumi))
        after = moments.uniform(0, usual)
        with Load(*stack.urls()) as load:
            command = stack.start_slip("up", "--yes")
            time.sleep(after)  # the moment itself is the test's input
            kill(command)
            status = command.wait().status
            killed += status != 0
            stack.up()
        said = f"kill {number}, {kill.__name__} after {after:.2f} s of {usual:.2f} s, status {status}"
        print(said, load.requests.total(), "requests")
        assert not load.failures, f"{said}: {load.failures[:5]}"
        assert {greeting(url) for url in stack.urls()} == {new}, said
        for host in HOSTS:
            assert len(stack.app_containers(host)) == 1, said
    assert killed > KILLS // 2, f"only {killed} of {KILLS} updates were killed before their end"
    assert stack.up("--refresh", "--expect-no-changes").changes == {}


@pytest.mark.timeout(SOAK_LIMIT, func_only=True)
def test_many_roll_outs_leave_nothing_behind(stack: Stack) -> None:
    for number in range(WARM_UP):
        stack.clone.greet(f"Hello, warm-up {number}")
        stack.up()
    before = _holdings(stack)
    with Load(*stack.urls()) as load:
        for number in range(ROLL_OUTS):
            stack.clone.greet(f"Hello, roll-out {number}")
            stack.up()
    load.check()
    after = _holdings(stack)
    print(f"after {ROLL_OUTS} roll-outs and {load.requests.total()} requests: {before} -> {after}")
    assert after["containers"] == before["containers"]
    assert after["networks"] == before["networks"]
    assert after["volumes"] == before["volumes"]
    # A version's records take some hundred bytes of the state, and an old version leaves it.
    assert after["state bytes"] < 1.1 * before["state bytes"]
    assert after["engine threads"] < 1.5 * before["engine threads"] + 10


def _holdings(stack: Stack) -> dict[str, int]:
    """What grows if an update leaves something behind, summed over the app hosts."""
    found = {"state bytes": len(stack.export())}
    for host in HOSTS:
        for what, command in {
            "containers": "docker ps --all --quiet | wc --lines",
            "networks": "docker network ls --quiet | wc --lines",
            "volumes": "docker volume ls --quiet | wc --lines",
            "engine threads": "cat /proc/$(pidof dockerd)/status | grep Threads",
        }.items():
            (number,) = re.findall(r"\d+", stack.on_host(host, "sh", "-c", command))
            found[what] = found.get(what, 0) + int(number)
    return found
