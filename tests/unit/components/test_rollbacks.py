"""The program under an order to roll back, and while a rollback holds."""

import json
import os
from functools import cache
from typing import Any

import pulumi
import pytest

from tests.unit.program import CONFIGURATION, Program, run_stack

OLD = "sha256:0123"
ORDERS = tuple(f"SLIPWAY_{order}" for order in ("ROLLBACK", "FORWARD", "KEEP", "PROMOTE", "RECOVER"))
"""The variables by which the command orders an update."""


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])
    for name in ORDERS:
        monkeypatch.delenv(name, raising=False)


def up(before: dict[str, Any], **service: Any) -> Program:
    """An update whose outputs are read back as Pulumi reads them: every number is a float."""
    web = {**CONFIGURATION["services"]["web"], **service}
    outputs = json.loads(json.dumps(before), parse_int=float)
    return run_stack("test", {**CONFIGURATION, "services": {"web": web}}, outputs)


def deployed(program: Program) -> dict[str, Any]:
    """The outputs, with an image in the first version that no build makes any more."""
    outputs: dict[str, Any] = json.loads(json.dumps({"versions": program.outputs["versions"]}))
    first = outputs["versions"]["web"]["versions"][-1]
    first["images"] = {"web": OLD, "web-base": "sha256:4567"}
    return outputs


def two_versions() -> dict[str, Any]:
    """The outputs after two updates, without an order."""
    assert not [name for name in os.environ if name in ORDERS]
    outputs: dict[str, Any] = json.loads(_two_versions())
    return outputs


@cache
def _two_versions() -> str:
    first = up({}, memory=100, env={"A": "1"})
    return json.dumps({"versions": up(deployed(first), memory=200).outputs["versions"]})


def test_a_deployment_is_recorded_once() -> None:
    before = two_versions()
    web = before["versions"]["web"]
    assert (web["current"], web["left"]) == (2, [])
    second, first = web["versions"]
    assert (first["settings"], second["settings"]) == ({"env": {"A": "1"}, "memory": 100}, {"memory": 200})
    assert [one["deployments"][-1]["result"] for one in (first, second)] == ["deployed", "deployed"]
    assert second["deployments"][0]["hosts"] == ["web-1", "web-2"]
    assert up(before, memory=200).outputs["versions"] == before["versions"]


def test_a_rollback_takes_image_and_settings_of_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = two_versions()
    monkeypatch.setenv("SLIPWAY_ROLLBACK", "web=1")
    program = up(before, memory=300)
    for host in ("web-1", "web-2"):
        assert program.named(f"web-{host}-image").inputs["name"] == f"yard:5000/web@{OLD}"
        container = program.named(f"web-{host}", "container:Container").inputs
        assert container["memory"] == 100
        assert container["envs"] == ["A=1"]
    web = program.outputs["versions"]["web"]
    assert (web["current"], web["left"]) == (1, [2])
    assert web["versions"][-1]["deployments"][-1]["cause"] == "rollback"
    assert program.outputs["images"] == {"web": f"yard:5000/web@{OLD}"}


@pytest.mark.parametrize(
    ("settings", "waits"),
    [
        ({}, False),
        ({"rollout": {"parallel": "100%", "pause": 5}}, False),
        # The settings ask for it, as for a host's share of the work.
        ({"rollout": {"parallel": 1, "pause": 5}}, True),
        # It would be away from both hosts at once.
        ({"ports": {"public": ["9000:9000"]}}, True),
    ],
)
def test_all_hosts_go_back_at_once(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], waits: bool
) -> None:
    first = up({}, memory=100, **settings)
    before = {"versions": up(deployed(first), memory=200, **settings).outputs["versions"]}
    monkeypatch.setenv("SLIPWAY_ROLLBACK", "web=1")
    program = up(before, memory=200, **settings)
    second = program.named("web-web-2", "container:Container").request.dependencies
    assert ("web-web-1-switch" in {urn.rpartition("::")[2] for urn in second}) == waits
    for host in ("web-1", "web-2"):
        assert "pause" not in str(program.named(f"web-{host}-switch").inputs["create"])


def test_a_rollback_holds_for_a_tree_that_has_what_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    before = two_versions()
    with monkeypatch.context() as order:
        order.setenv("SLIPWAY_ROLLBACK", "web=1")
        rolled_back = {"versions": up(before, memory=200).outputs["versions"]}

    held = up(rolled_back, memory=200)
    assert held.named("web-web-1", "container:Container").inputs["memory"] == 100
    assert held.outputs["versions"] == rolled_back["versions"]
    # The tree has what was built last: its resource stays.
    assert "docker:index/image:Image::web-image" in held.resources

    changed = up(rolled_back, memory=300)
    assert changed.named("web-web-1", "container:Container").inputs["memory"] == 300
    assert (changed.outputs["versions"]["web"]["current"], changed.outputs["versions"]["web"]["left"]) == (
        3,
        [],
    )

    monkeypatch.setenv("SLIPWAY_FORWARD", "web")
    forward = up(rolled_back, memory=200)
    assert forward.named("web-web-1", "container:Container").inputs["memory"] == 200
    assert forward.outputs["versions"]["web"]["current"] == 2


@pytest.mark.parametrize(
    ("variable", "order", "message"),
    [
        ("SLIPWAY_ROLLBACK", "web=41", r"web has no version 41\. Versions: 2, 1\."),
        ("SLIPWAY_ROLLBACK", "shop=1", r"shop: the stack has no such service\. Services: web\."),
        ("SLIPWAY_ROLLBACK", "web", "write SERVICE=VERSION, such as web=41"),
        ("SLIPWAY_FORWARD", "shop", "shop: the stack has no such service"),
        ("SLIPWAY_KEEP", "shop", "shop: the stack has no such service"),
    ],
)
def test_an_order_for_what_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, order: str, message: str
) -> None:
    before = two_versions()
    monkeypatch.setenv(variable, order)
    with pytest.raises(pulumi.RunError, match=message):
        up(before, memory=200)


def test_a_service_that_is_kept_has_what_its_version_has(monkeypatch: pytest.MonkeyPatch) -> None:
    before = two_versions()
    web = before["versions"]["web"]
    # A failed roll-out is no reason to note another deployment.
    web["versions"][0]["deployments"][-1]["result"] = "begun"
    monkeypatch.setenv("SLIPWAY_KEEP", "web")
    program = up(before, memory=300, env={"B": "2"})
    container = program.named("web-web-1", "container:Container").inputs
    assert (container["memory"], container.get("envs", [])) == (200, [])
    after = program.outputs["versions"]["web"]
    assert (after["current"], after["left"]) == (2, [])
    assert [len(one["deployments"]) for one in after["versions"]] == [1, 1]


def test_if_all_are_kept_a_tree_with_other_services_and_places_deploys_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = two_versions() | {"serviceHosts": {"web": ["web-1"]}}
    monkeypatch.setenv("SLIPWAY_KEEP", "*")
    services = {
        "web": {**CONFIGURATION["services"]["web"], "memory": 300},
        "shop": {**CONFIGURATION["services"]["web"], "domain": "shop.example.com"},
    }
    program = run_stack("test", {**CONFIGURATION, "services": services}, before)
    assert program.outputs["serviceHosts"] == {"web": ["web-1"]}
    made = {one.rpartition("::")[2] for one in program.resources if "docker:index/container:Container" in one}
    assert {"web-web-1"} == {name for name in made if name.startswith(("web-web", "shop"))}
    assert program.outputs["versions"] == before["versions"]


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (
            {"serviceHosts": {"web": ["web-1"], "cron": ["web-1"]}},
            "cron runs, and this configuration does not",
        ),
        (
            {"serviceHosts": {"web": ["web-1"], "db": ["web-1"]}, "mirror": {"postgres:16": "yard:5000/x"}},
            "db runs another image than postgres:17",
        ),
    ],
)
def test_if_all_are_kept_a_tree_without_what_runs_is_refused(
    monkeypatch: pytest.MonkeyPatch, before: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("SLIPWAY_KEEP", "*")
    services = {**CONFIGURATION["services"], "db": {"image": "postgres:17", "health": {"command": "true"}}}
    with pytest.raises(pulumi.RunError, match=message):
        run_stack("test", {**CONFIGURATION, "services": services}, before)


def test_a_version_whose_secret_is_gone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    before = two_versions()
    before["versions"]["web"]["versions"][-1]["settings"]["secrets"] = ["TOKEN"]
    monkeypatch.setenv("SLIPWAY_ROLLBACK", "web=1")
    with pytest.raises(pulumi.RunError, match=r"with version 1 of web: .*TOKEN"):
        up(before, memory=200)


def recover(monkeypatch: pytest.MonkeyPatch, version: object, number: int) -> None:
    monkeypatch.setenv("SLIPWAY_RECOVER", json.dumps({"web": version}))
    monkeypatch.setenv("SLIPWAY_ROLLBACK", f"web={number}")


def test_a_version_that_the_state_has_lost_is_deployed_and_in_the_state_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = two_versions()
    lost = {**before["versions"]["web"]["versions"].pop(), "images": {"web": f"sha256:{'7' * 64}"}}
    recover(monkeypatch, lost, 1)
    program = up(before, memory=300)
    assert image_on(program, "web-1") == f"yard:5000/web@sha256:{'7' * 64}"
    assert program.named("web-web-1", "container:Container").inputs["memory"] == 100
    web = program.outputs["versions"]["web"]
    assert (web["current"], web["left"]) == (1, [2])
    assert [one["number"] for one in web["versions"]] == [2, 1]
    assert [one["cause"] for one in web["versions"][-1]["deployments"]] == ["up", "rollback"]


def test_a_version_that_the_state_has_is_not_replaced_by_one_from_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = two_versions()
    other = {**before["versions"]["web"]["versions"][-1], "images": {"web": f"sha256:{'7' * 64}"}}
    recover(monkeypatch, other, 1)
    assert image_on(up(before, memory=300), "web-1") == f"yard:5000/web@{OLD}"


@pytest.mark.parametrize(
    "version",
    [{}, 7, {"number": 41, "images": {"web": "latest"}, "deployments": []}],
)
def test_what_is_no_record_is_refused(monkeypatch: pytest.MonkeyPatch, version: object) -> None:
    before = two_versions()
    recover(monkeypatch, version, 41)
    with pytest.raises(pulumi.RunError, match="SLIPWAY_RECOVER is not what `slip rollback` makes of it"):
        up(before, memory=300)


PROMOTED = {
    "images": {"web": "sha256:89ab", "web-base": "sha256:cdef"},
    "source": "tag-of-staging",
    "revision": "a" * 40,
    "message": "Say hello",
    "origin": {"stack": "staging", "number": 41},
}


def promoted(monkeypatch: pytest.MonkeyPatch, before: dict[str, Any], **service: Any) -> Program:
    with monkeypatch.context() as order:
        order.setenv("SLIPWAY_PROMOTE", json.dumps({"web": PROMOTED}))
        return up(before, **service)


def image_on(program: Program, host: str) -> object:
    return program.named(f"web-{host}-image").inputs["name"]


def test_a_promotion_deploys_the_image_of_another_stack_with_the_settings_of_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = promoted(monkeypatch, two_versions(), memory=300)
    for host in ("web-1", "web-2"):
        assert image_on(program, host) == "yard:5000/web@sha256:89ab"
        assert program.named(f"web-{host}", "container:Container").inputs["memory"] == 300
    web = program.outputs["versions"]["web"]
    newest = web["versions"][0]
    assert (web["current"], web["left"], newest["number"]) == (3, [], 3)
    assert newest["images"] == PROMOTED["images"]
    assert (newest["origin"], newest["revision"], newest["message"]) == (
        PROMOTED["origin"],
        PROMOTED["revision"],
        "Say hello",
    )
    assert (newest["settings"], newest["deployments"][-1]["cause"]) == ({"memory": 300}, "promotion")


def test_a_promotion_holds_until_the_code_changes_or_somebody_goes_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {"versions": promoted(monkeypatch, two_versions(), memory=200).outputs["versions"]}
    again = up(before, memory=200)
    assert image_on(again, "web-1") == "yard:5000/web@sha256:89ab"
    assert again.outputs["versions"] == before["versions"]
    # The tree has what was built last: its resource stays.
    assert "docker:index/image:Image::web-image" in again.resources

    # The settings of this stack are not pinned: with others it is another version, of the same image.
    other = up(before, memory=400)
    assert image_on(other, "web-1") == "yard:5000/web@sha256:89ab"
    assert other.named("web-web-1", "container:Container").inputs["memory"] == 400
    versions = other.outputs["versions"]["web"]
    assert (versions["current"], versions["versions"][0]["deployments"][-1]["cause"]) == (4, "up")
    assert versions["pinned"] == before["versions"]["web"]["pinned"]

    monkeypatch.setenv("SLIPWAY_FORWARD", "web")
    forward = up(before, memory=200)
    assert image_on(forward, "web-1") != "yard:5000/web@sha256:89ab"
    assert (
        forward.outputs["versions"]["web"]["current"],
        "pinned" in forward.outputs["versions"]["web"],
    ) == (
        2,
        False,
    )


def test_another_code_than_this_stack_has_known_ends_a_promotion(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"versions": promoted(monkeypatch, two_versions(), memory=200).outputs["versions"]}
    changed = up(
        before, memory=200, build={**CONFIGURATION["services"]["web"]["build"], "args": {"NEW": "1"}}
    )
    assert image_on(changed, "web-1") != "yard:5000/web@sha256:89ab"
    assert "pinned" not in changed.outputs["versions"]["web"]


def test_a_rollback_from_a_promoted_version_holds_against_the_trees_from_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {"versions": promoted(monkeypatch, two_versions(), memory=200).outputs["versions"]}
    with monkeypatch.context() as order:
        order.setenv("SLIPWAY_ROLLBACK", "web=1")
        back = up(before, memory=200).outputs
    assert (back["versions"]["web"]["current"], back["versions"]["web"]["left"]) == (1, [2, 3])
    held = up({"versions": back["versions"]}, memory=200)
    assert image_on(held, "web-1") == f"yard:5000/web@{OLD}"


def test_a_promotion_of_what_another_service_builds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    before = two_versions()
    monkeypatch.setenv("SLIPWAY_PROMOTE", json.dumps({"web": PROMOTED}))
    with pytest.raises(pulumi.RunError, match=r"web: no version of it is recorded yet. `\./slip up`"):
        up({})
    monkeypatch.setenv("SLIPWAY_PROMOTE", '{"web": {}}')
    with pytest.raises(pulumi.RunError, match=r"use `\./slip promote`"):
        up(before)


def test_the_way_back_of_a_promotion_that_failed_wins_over_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    before = two_versions()
    monkeypatch.setenv("SLIPWAY_ROLLBACK", "web=1")
    program = promoted(monkeypatch, before, memory=200)
    assert image_on(program, "web-1") == f"yard:5000/web@{OLD}"
    assert program.outputs["versions"]["web"]["current"] == 1
