"""Hosts that do not answer, and which of them an update leaves out."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from cli.stack.stack import Stack
from cli.update import diagnosis, left_out
from cli.update.diagnosis import Endpoint, Silence

PREFIX = "urn:pulumi:local::slipway::"
CONTAINER = "docker:index/container:Container"
VOLUME = "docker:index/volume:Volume"
COMMAND = "command:remote:Command"
ROLES = {
    "yard": ["registry", "build"],
    "web-1": ["app"],
    "web-2": ["app"],
    "edge-1": ["edge"],
    "edge-2": ["edge"],
}


def outputs(
    hosts: Mapping[str, Sequence[str]] = ROLES, services: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    return {
        "hosts": {
            name: {"roles": roles, "address": name, "enginePort": 2376, "sshPort": 22}
            for name, roles in hosts.items()
        },
        "serviceHosts": {"web": ["web-1", "web-2"]} if services is None else services,
    }


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"{PREFIX}{kind}::{name}", "type": kind, "custom": True, "id": name, **more}


def state(known: Mapping[str, Any]) -> dict[str, Any]:
    """A stack whose hosts have a set-up and a container each, and whose registry's host has a marker of each."""
    made = []
    for name in known["hosts"]:
        urn = f"{PREFIX}{CONTAINER}::{name}"
        made += [
            resource(CONTAINER, name),
            resource(COMMAND, f"{name}-setup", deletedWith=urn),
            resource(CONTAINER, f"{name}-own", deletedWith=f"{PREFIX}{COMMAND}::{name}-setup"),
        ]
    label = {"label": "slipway.host", "value": "web-1"}
    yard = f"{PREFIX}{CONTAINER}::yard"
    made.append(resource(VOLUME, "web-web-1-served", deletedWith=yard, inputs={"labels": [label]}))
    made.append(resource(VOLUME, "web-deployed", deletedWith=yard, inputs={"labels": []}))
    stack = {"urn": f"{PREFIX}pulumi:pulumi:Stack::s", "type": "pulumi:pulumi:Stack", "outputs": known}
    return {"resources": [stack, *made]}


@pytest.mark.parametrize(
    ("silent", "left"),
    [
        (["edge-2"], ["edge-2"]),
        (["web-1"], ["web-1"]),
        (["edge-1", "web-2"], ["edge-1", "web-2"]),
        (["edge-1", "edge-2"], []),
        (["web-1", "web-2"], []),
        (["yard"], []),
        (["yard", "edge-1"], ["edge-1"]),
        ([], []),
    ],
)
def test_a_host_is_left_out_if_another_one_does_its_work(silent: list[str], left: list[str]) -> None:
    assert left_out.spared(outputs(), silent, [*ROLES]) == left


def test_a_host_is_not_left_out_if_a_service_runs_nowhere_else() -> None:
    known = outputs(services={"web": ["web-1", "web-2"], "queue": ["web-2"]})
    assert left_out.spared(known, ["web-1"], [*ROLES]) == ["web-1"]
    assert left_out.spared(known, ["web-2"], [*ROLES]) == []


def test_a_host_with_a_second_role_is_not_left_out() -> None:
    known = outputs(ROLES | {"edge-2": ["edge", "build"]})
    assert left_out.spared(known, ["edge-2"], [*ROLES]) == []


def test_a_host_that_goes_is_not_left_out() -> None:
    assert left_out.spared(outputs(), ["web-1"], ["yard", "web-2"]) == []


def test_all_of_a_host_is_left_out_and_nothing_else() -> None:
    urns = {urn.rpartition("::")[2] for urn in left_out.urns_of(state(outputs()), "web-1")}
    assert urns == {"web-1", "web-1-setup", "web-1-own", "web-web-1-served"}


@dataclasses.dataclass
class Fleet:
    """A stack, and how its hosts answer."""

    silences: tuple[Silence, ...] = ()
    known: dict[str, Any] = dataclasses.field(default_factory=outputs)
    asked: list[str] = dataclasses.field(default_factory=list)

    @property
    def config(self) -> "Fleet":
        return self

    @property
    def hosts(self) -> list[str]:
        return [*self.known["hosts"]]

    def deployment(self) -> dict[str, Any]:
        return state(self.known)

    def options(self, *given: str) -> list[str]:
        stack: Stack = self  # type: ignore[assignment]
        return left_out.options(stack, given)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    found = Fleet()

    def silent(host: str) -> bool:
        return host in {silence.host for silence in found.silences}

    def failures(asked: Sequence[Endpoint]) -> list[tuple[Endpoint, str]]:
        found.asked += [str(endpoint) for endpoint in asked]
        return [(endpoint, "refuses" if silent(endpoint.host) else "") for endpoint in asked]

    monkeypatch.setattr(diagnosis, "failures", failures)
    monkeypatch.setattr(diagnosis, "silences", lambda _: found.silences)
    return found


def test_an_update_leaves_out_an_edge_that_is_dead(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    dead = Silence("edge-2", ("its engine at 127.0.0.1:23769 refuses connections",), "slipway-local-edge-2")
    fleet.silences = (dead,)
    options = fleet.options("--yes")
    assert options[::2] == ["--exclude"] * 3
    assert {urn.rpartition("::")[2] for urn in options[1::2]} == {"edge-2", "edge-2-setup", "edge-2-own"}
    said = capsys.readouterr().err
    assert "edge-2 does not answer: its engine at 127.0.0.1:23769 refuses connections." in said
    other = Silence("web-1", ("its engine gives no answer within 3 s",))
    assert left_out.among([dead, other], ["--yes", *options], state(outputs())) == (dead,)
    assert "docker start slipway-local-edge-2" in left_out.advice(dead, " -s dev")
    assert "./slip forget edge-2 -s dev" in left_out.advice(dead, " -s dev")


def test_an_update_does_not_leave_out_a_host_whose_engine_alone_is_silent(fleet: Fleet) -> None:
    fleet.silences = (Silence("edge-2", ("its engine refuses connections",), answers_ssh=True),)
    assert fleet.options() == []


def test_an_update_of_some_resources_and_a_check_leave_out_no_host(fleet: Fleet) -> None:
    fleet.silences = (Silence("edge-2", ("its engine refuses connections",)),)
    for given in (["--target", "urn"], ["--replace=urn"], ["--refresh", "--expect-no-changes"]):
        assert fleet.options(*given) == []
    assert fleet.options("--exclude", "urn")


def test_a_host_that_is_left_out_already_is_left_out_once(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.silences = (Silence("edge-2", ("its engine refuses connections",)),)
    options = fleet.options()
    capsys.readouterr()
    assert fleet.options(*options) == []
    assert capsys.readouterr().err == ""


def test_hosts_without_a_substitute_are_not_asked(fleet: Fleet) -> None:
    fleet.known = outputs({"box": ["registry", "build", "app"]}, {"web": ["box"]})
    assert fleet.options() == []
    fleet.known = {}
    assert fleet.asked == []


def test_an_everyday_update_asks_each_engine_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "silences", lambda _: pytest.fail("asked again"))
    assert fleet.options() == []
    assert sorted(fleet.asked) == sorted(f"engine at {host}:2376" for host in ROLES)
