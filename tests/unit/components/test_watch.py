"""The pause behind a switch: the script watches the new container, and gives the routes back if it fails."""

import os
import time
from pathlib import Path

import pytest

from tests.unit.components.machine import Machine
from tests.unit.components.test_switch import ARGUMENTS, BOTH, HEALTHY, calls, record, switch, taking

OLD = {"@": "old 80 1 3"}
RUNS = "running 0 0 false 4711 10.0.0.2"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def watch_file(machine: Machine) -> Path:
    return machine.root / "run/slipway-watch-web"


def test_the_old_container_ends_after_the_pause_only(machine: Machine) -> None:
    began = time.monotonic()
    result = switch(machine, *ARGUMENTS, "pause=2", routes=OLD, containers=BOTH, curl=HEALTHY)
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - began > 2
    # A pause is no option of the route.
    assert (record(machine, "@"), taking(machine)) == ("new 8080 1 3\n", ["r:/new"])
    assert calls(machine, "start", "stop") == ["start new", "stop -t 3 old"]
    assert not watch_file(machine).exists()


def test_one_that_falls_ill_in_the_pause_gives_the_routes_back(machine: Machine) -> None:
    once = f"[ -e {machine.root}/asked-once ] && printf 500 || {{ touch {machine.root}/asked-once; printf 200; }}"
    result = switch(machine, *ARGUMENTS, "pause=1", routes=OLD, containers=BOTH, curl=once)
    assert result.returncode == 6
    assert (
        "health check /up answered HTTP 500 for 1 s, in the pause of 1 s after its roll-out" in result.stderr
    )
    assert "the previous version continues to serve" in result.stderr
    assert (record(machine, "@"), taking(machine)) == ("old 80 1 3\n", ["r:/old"])
    assert calls(machine, "start", "stop") == ["start new", "stop -t 3 new"]
    assert not watch_file(machine).exists()


def test_one_that_crashes_ends_the_pause_at_once(machine: Machine) -> None:
    states = (*(RUNS,) * 4, "exited 3 0 false 0")
    began = time.monotonic()
    result = switch(
        machine, *ARGUMENTS, "pause=600", states=states, routes=OLD, containers=BOTH, curl=HEALTHY
    )
    assert time.monotonic() - began < 60
    assert result.returncode == 6
    assert "it crashed with exit code 3, in the pause of 600 s after its roll-out\n" in result.stderr
    assert record(machine, "@") == "old 80 1 3\n"
    assert "stop -t 3 old" not in calls(machine)


def test_a_container_that_has_the_requests_already_is_not_watched_again(machine: Machine) -> None:
    result = switch(
        machine, *ARGUMENTS, "pause=600", routes={"@": "new 8080 1 3"}, containers=BOTH, curl=HEALTHY
    )
    assert result.returncode == 0, result.stderr


def test_what_a_killed_switch_left_of_the_pause_is_made_up_for(machine: Machine) -> None:
    watch_file(machine).parent.mkdir(parents=True, exist_ok=True)
    watch_file(machine).write_text("new\n")
    os.utime(watch_file(machine), (time.time() - 598,) * 2)
    began = time.monotonic()
    result = switch(
        machine, *ARGUMENTS, "pause=600", routes={"@": "new 8080 1 3"}, containers=BOTH, curl=HEALTHY
    )
    assert result.returncode == 0, result.stderr
    assert 1 < time.monotonic() - began < 60
    assert not watch_file(machine).exists()


def test_a_service_without_a_proxy_goes_back_to_what_ran(machine: Machine) -> None:
    serving = machine.root / "etc/slipway/services"
    serving.mkdir(parents=True)
    (serving / "web").write_text("old - 3 3\n")
    (machine.root / "healthcheck").write_text(r"CMD-SHELL\0true\0")
    once = f"[ ! -e {machine.root}/asked-once ] || exit 1; touch {machine.root}/asked-once"
    arguments = ("--start", "web", "new", "1", "3", "check=command", "pause=1")
    result = switch(machine, *arguments, containers=BOTH, check=once)
    assert result.returncode == 6
    assert "its health check failed for 1 s, in the pause of 1 s after its roll-out" in result.stderr
    assert "the previous version still runs" in result.stderr
    assert (serving / "web").read_text() == "old - 3 3\n"
    assert "stop -t 3 old" not in calls(machine)
