"""Services that no proxy asks, and those of which two versions must not run at once: the script that switches them."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.components.machine import Machine
from tests.unit.components.test_switch import HEALTHY, calls, record, switch

BEFORE = "new db running 127.0.0.1\nold db running 10.0.0.3\n"
HERE = ("running 0 0 false 4711 127.0.0.1",)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path)
    (tmp_path / "healthcheck").write_text(r"CMD-SHELL\0test -f /run/alive\0")
    serving = tmp_path / "etc/slipway/services"
    serving.mkdir(parents=True)
    (serving / "db").write_text("old - 3 3\n")
    return found


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def served(machine: Machine) -> str:
    return (machine.root / "etc/slipway/services/db").read_text()


def test_a_port_that_accepts_connections_is_healthy(machine: Machine, port: int) -> None:
    result = switch(
        machine, "--start", "db", "new", "1", "3", f"check=tcp:{port}", states=HERE, containers=BEFORE
    )
    assert result.returncode == 0, result.stderr
    assert served(machine) == "new - 3 3\n"
    # The old one ends only then.
    assert calls(machine) == [
        *("update slipway-proxy 4096", "update new 4096", "start new"),
        "stop -t 3 old",
    ]


@pytest.mark.parametrize(("check", "status"), [("exit 0", 0), ("echo no file; exit 1", 6)])
def test_a_command_says_whether_it_is_healthy(machine: Machine, check: str, status: int) -> None:
    result = switch(
        machine,
        *("--start", "db", "new", "1", "3", "check=command"),
        states=HERE,
        containers=BEFORE,
        check=check,
    )
    assert result.returncode == status, result.stderr
    assert served(machine).split()[0] == ("new" if status == 0 else "old")
    assert calls(machine, "exec")[0] == "exec new /bin/sh -c test -f /run/alive"
    if status:
        assert "its health check failed for 1 s: no file" in result.stderr
        assert "the previous version still runs" in result.stderr
        assert "stop -t 3 old" not in calls(machine)


def test_an_image_without_a_check_is_told(machine: Machine) -> None:
    (machine.root / "healthcheck").write_text("")
    result = switch(
        machine, "--start", "db", "new", "1", "3", "check=command", states=HERE, containers=BEFORE
    )
    assert result.returncode == 6
    assert "its image has no HEALTHCHECK" in result.stderr
    assert "set slipway:services.db.health to a command" in result.stderr


def test_the_old_one_makes_way_and_comes_back(machine: Machine) -> None:
    arguments = ("--start", "db", "new", "1", "3", "check=command", "order=stop-first", "pids=99")
    result = switch(machine, *arguments, states=HERE, containers=BEFORE)
    assert result.returncode == 6
    assert calls(machine) == [
        *("stop -t 3 old", "update slipway-proxy 4096", "update new 99", "start new"),
        *("stop -t 3 new", "start old"),
    ]
    assert "the previous version was started again" in result.stderr
    assert served(machine) == "old - 3 3\n"
    assert not list((machine.root / "run").glob("slipway-away-*"))


def test_a_service_behind_the_proxy_makes_way_too(machine: Machine) -> None:
    result = switch(
        machine,
        *("web", "new", "8080", "/up", "1", "1", "3", "order=stop-first"),
        containers="new web running 10.0.0.2\nold web running 10.0.0.3\n",
        routes={"@": "old 8080 1 3"},
        curl=HEALTHY,
    )
    assert result.returncode == 0, result.stderr
    assert calls(machine, "stop", "start")[:2] == ["stop -t 3 old", "start new"]
    # The order is no option of the route.
    assert record(machine, "@") == "new 8080 1 3\n"


def test_a_removed_service_is_not_started_again(machine: Machine) -> None:
    result = switch(machine, "--remove", "db", containers=BEFORE)
    assert result.returncode == 0, result.stderr
    assert not (machine.root / "etc/slipway/services/db").exists()
    assert {"stop -t 10 old", "stop -t 10 new"} == set(calls(machine, "stop"))


@pytest.mark.parametrize(
    ("binds", "containers", "may"),
    [
        ("db.data:/data:rw", "new db running 10.0.0.2\nold db exited\n", False),
        ("db.data:/data:rw", "new db exited\nold db exited\nother web running 10.0.0.4\n", True),
        ("", "new db running 10.0.0.2\nold db exited\n", True),
    ],
    ids=["one volume", "alone", "nothing to share"],
)
def test_a_killed_switch_leaves_no_two_that_write(
    machine: Machine, binds: str, containers: str, may: bool
) -> None:
    (machine.root / "binds").write_text(binds)
    assert (switch(machine, "--may-start", "old", containers=containers).returncode == 0) == may
    switch(machine, "--restore", containers=containers)
    assert ("start old" in calls(machine, "start")) == may


def test_one_that_makes_way_is_not_started_meanwhile(machine: Machine) -> None:
    (machine.root / "run").mkdir(exist_ok=True)
    (machine.root / "run/slipway-away-old").write_text(f"{os.getpid()}\n")
    assert switch(machine, "--may-start", "old", containers="old db exited\n").returncode == 1
