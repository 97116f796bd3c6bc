"""Hosts that are lost for certain: their container is gone, or the state has only what was on them."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.stack import deployment
from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.pulumi_command import PulumiCommand
from cli.stack.stack import Stack
from cli.update import diagnosis, lost_hosts
from cli.update.forget import forget

CONTAINER, NETWORK, COMMAND = (
    "docker:index/container:Container",
    "docker:index/network:Network",
    "command:remote:Command",
)
PROVIDER = "pulumi:providers:docker"


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:local::slipway::{kind}::{name}",
        "type": kind,
        "custom": True,
        "id": f"id-{name}",
        **more,
    }


OPERATOR = resource(PROVIDER, "operator-engine")
HERE = f"{OPERATOR['urn']}::1"


def host(name: str) -> list[dict[str, Any]]:
    """A host with its set-up, its engine's provider and a container on it."""
    machine = resource(CONTAINER, name, provider=HERE)
    setup = resource(COMMAND, f"{name}-setup", deletedWith=machine["urn"])
    engine = resource(PROVIDER, f"{name}-docker", deletedWith=setup["urn"])
    app = resource(CONTAINER, f"{name}-app", deletedWith=setup["urn"], provider=f"{engine['urn']}::1")
    return [machine, setup, engine, app]


def state(*hosts: str) -> dict[str, Any]:
    return {
        "resources": [
            OPERATOR,
            resource(NETWORK, "slipway-local", provider=HERE),
            *(item for name in hosts for item in host(name)),
        ]
    }


EVERYTHING = {"id-slipway-local", "id-yard", "id-web-1"}


@pytest.mark.parametrize(
    ("gone", "lost"),
    [
        ((), set()),
        (("id-yard",), {"yard"}),
        (("id-yard", "id-web-1"), {"yard", "web-1"}),
        # Containers whose network is gone cannot start again.
        (("id-slipway-local",), {"yard", "web-1"}),
    ],
)
def test_a_host_without_its_container_or_network_is_lost(gone: tuple[str, ...], lost: set[str]) -> None:
    assert set(lost_hosts.lost_machines(state("yard", "web-1"), EVERYTHING - set(gone))) == lost


def test_an_engine_that_does_not_answer_loses_no_host() -> None:
    assert lost_hosts.lost_machines(state("yard"), None) == {}


def test_a_host_that_is_forgotten_already_is_not_lost_again() -> None:
    forgotten = forget(state("yard", "web-1"), "yard").deployment
    assert lost_hosts.lost_machines(forgotten, {"id-slipway-local", "id-web-1"}) == {}


def test_a_host_that_answers_is_on_another_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = (
        diagnosis.Endpoint("yard", "SSH", "127.0.0.1", 2200),
        diagnosis.Endpoint("web-1", "SSH", "127.0.0.1", 2201),
    )
    monkeypatch.setattr(diagnosis, "endpoints", lambda _: known)
    monkeypatch.setattr(
        diagnosis, "failure", lambda endpoint: "" if endpoint.host == "yard" else "refuses connections"
    )
    found = lost_hosts._silent(state("yard", "web-1"), {"yard": "gone", "web-1": "gone"})
    assert found == {"web-1": "gone"}


@pytest.mark.parametrize("refreshed", ["by its set-up", "by a machine that is missing"])
def test_what_is_left_of_a_host_is_found_and_forgotten(refreshed: str) -> None:
    """As a refresh leaves it that finds the container gone: the machine is not in the state any more."""
    left = state("yard", "web-1")
    machine, setup = left["resources"][2:4]
    left["resources"].remove(machine)
    if refreshed == "by its set-up":
        setup["deletedWith"] = ""
    assert set(deployment.hosts(left)) == {"web-1"}
    assert set(deployment.orphaned_hosts(left)) == set(lost_hosts.orphans(left)) == {"yard"}
    after = forget(left, "yard").deployment
    names = [deployment.name_of(item["urn"]) for item in deployment.resources(after)]
    assert names == ["operator-engine", "slipway-local", "web-1", "web-1-setup", "web-1-docker", "web-1-app"]
    assert deployment.orphaned_hosts(after) == {}


def test_a_host_that_waits_for_its_deletion_is_no_orphan() -> None:
    replaced = state("yard")
    replaced["resources"][2]["delete"] = True
    assert deployment.orphaned_hosts(replaced) == {}


@pytest.mark.parametrize(
    ("hosts", "made"),
    [({"yard": {}}, False), ({"yard": {}, "web-1": {}}, True), ({"web-1": {}}, True), ({}, False)],
)
def test_hosts_that_the_next_update_makes(tmp_path: Path, hosts: dict[str, Any], made: bool) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: slipway\n")
    folder = tmp_path / ".pulumi/stacks/slipway"
    folder.mkdir(parents=True)
    (folder / "local.json").write_text(json.dumps({"checkpoint": {"latest": state("yard")}}))
    (tmp_path / "Pulumi.local.yaml").write_text(json.dumps({"config": {"slipway:hosts": hosts}}))
    pulumi = PulumiCommand(Path("pulumi"), tmp_path, {})
    stack = Stack(Project(tmp_path), "local", Backend(f"file://{tmp_path}"), pulumi)
    assert lost_hosts.will_be_made(stack) == made


def test_a_whole_stack_has_no_orphans() -> None:
    assert deployment.orphaned_hosts(state("yard", "web-1")) == {}
