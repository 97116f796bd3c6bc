"""Versions of a service on two hosts: history, differences, rollbacks that hold, and one version everywhere."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import yaml

from tests.support import settings
from tests.support.clone import Clone
from tests.support.command import Command
from tests.support.http_load import Load, greeting
from tests.support.secret_values import no_process_shows
from tests.support.stack import Stack
from tests.support.waiting import TOOLS_LIMIT, eventually

SERVER = "tests/e2e/fixtures/tiny/server.pl"
HOSTS = ("web-1", "web-2")
SHORT = 5
"""Seconds for the health check of a version that cannot get healthy."""
BLOCKED = 8081
"""A port to which the second host lets no connection through."""
SECRET = "a-secret-of-all-versions"
MOMENTS = 8
"""Moments of a way back at which it is killed."""
SOAK_LIMIT = 2 * 3600
"""Seconds that the kills may take."""


@pytest.fixture(scope="module")
def fleet(clone: Clone) -> Iterator[Stack]:
    """Two hosts, with the tiny service's version 3. Version 2 has other code, version 3 other settings."""
    stack = Stack(clone, "e2e-versions")
    stack.remove_traces()
    stack.write_config(
        {
            "platform": {"kind": "local", "portOffset": 1100},
            "hosts": {"web-1": {"roles": ["registry", "build", "app"]}, "web-2": {"roles": ["app"]}},
            "services": {
                "web": {
                    "build": {"context": "tests/e2e/fixtures/tiny"},
                    "health": "/",
                    "healthTimeout": settings.HEALTH_TIMEOUT,
                    "drainTimeout": 2,
                },
                "cron": {"from": "web", "health": {"command": "test -e /server.pl"}, "hosts": ["web-2"]},
            },
        }
    )
    try:
        stack.up(seconds=TOOLS_LIMIT)
        clone.edit(SERVER, "tiny version 1", "tiny version 2")
        clone.commit("Greet for the second time")
        stack.set_secret("TOKEN", SECRET)
        _configure(stack, secrets=["TOKEN"])
        stack.up()
        _configure(stack, env={"GREETING": "tiny version 3"}, memory=256)
        stack.up()
        yield stack
    finally:
        stack.take_down()


def _configure(stack: Stack, **changes: Any) -> None:
    services = yaml.safe_load(stack.config_file.read_text())["config"]["slipway:services"]
    stack.configure({"services": {**services, "web": {**services["web"], **changes}}})


def _history(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        stack.clone.read("./slip", "history", "web", "--stack", stack.name, "--json")
    )
    return found


def _current(stack: Stack) -> list[int]:
    return [one["number"] for one in _history(stack) if one["current"]]


def _greetings(stack: Stack) -> set[str]:
    return {greeting(url) for url in stack.urls()}


def _containers(stack: Stack) -> dict[str, list[str]]:
    return {host: sorted(stack.app_containers(host)) for host in HOSTS}


def _image_of(stack: Stack, service: str) -> str:
    (container,) = stack.app_containers("web-2", service=service)
    return stack.on_host("web-2", "docker", "inspect", "--format", "{{.Image}}", container)


@contextmanager
def _registry_stopped(stack: Stack) -> Iterator[None]:
    # Else it would be started again.
    stack.on_host("web-1", "systemctl", "stop", "slipway-keep")
    stack.on_host("web-1", "docker", "stop", "slipway-registry")
    try:
        yield
    finally:
        stack.on_host("web-1", "docker", "start", "slipway-registry")
        stack.on_host("web-1", "systemctl", "start", "slipway-keep")


@contextmanager
def _eight_clients(stack: Stack) -> Iterator[None]:
    """Eight clients for each host, and not one failed request."""
    urls = stack.urls()
    with ExitStack() as entered:
        loads = [entered.enter_context(Load(*urls)) for _ in range(2)]
        yield
    for load in loads:
        load.check()


def test_versions_are_recorded_and_compared(fleet: Stack) -> None:
    third, second, first = _history(fleet)
    assert [third["number"], second["number"], first["number"]] == [3, 2, 1]
    assert [one["current"] for one in (third, second, first)] == [True, False, False]
    assert second["message"] == "Greet for the second time"
    (deployment,) = third["deployments"]
    assert deployment["hosts"] == list(HOSTS)
    assert deployment["result"] == "deployed"
    assert deployment["seconds"] >= 1
    assert third["secrets"].keys() == {"TOKEN"}
    assert SECRET not in json.dumps(fleet.outputs()["versions"])

    shown = fleet.slip("diff", "web", "2", "3").output
    assert "env.GREETING" in shown
    assert "memory" in shown
    assert "image" not in shown
    assert "image" in fleet.slip("diff", "web", "1", "2").output

    unknown = fleet.slip("rollback", "web", "--to", "41", "--yes")
    assert unknown.status == 1
    assert "Versions: 3, 2, 1" in unknown.output

    table = fleet.slip("ps")
    assert table.status == 0, str(table)
    running = json.loads(fleet.clone.read("./slip", "ps", "--stack", fleet.name, "--json"))
    assert [(one["service"], one["host"], one["version"], one["healthy"]) for one in running] == [
        ("cron", "web-2", 2, True),
        ("web", "web-1", 3, True),
        ("web", "web-2", 3, True),
    ]
    assert all(1_000_000 < one["memory"] < 256 * 2**20 for one in running)


def test_a_rollback_needs_no_build_no_registry_and_fails_no_request(fleet: Stack) -> None:
    with _registry_stopped(fleet), _eight_clients(fleet), no_process_shows(fleet, more=(SECRET,)):
        result = fleet.slip("rollback", "web", "--to", "1", "--yes")
    assert result.status == 0, str(result)
    assert _greetings(fleet) == {"tiny version 1"}
    assert _current(fleet) == [1]
    # Its settings came along, and nothing but the service was touched.
    container = fleet.app_containers("web-1")[0]
    assert fleet.on_host("web-1", "docker", "inspect", "--format", "{{.HostConfig.Memory}}", container) == (
        f"{512 * 2**20}"
    )
    assert {name for name in result.changes if not name.startswith(("web-", "cron-"))} == set(), str(result)
    assert "web-image" not in result.changes
    # What runs its image follows.
    assert _image_of(fleet, "cron") == _image_of(fleet, "web")


def test_a_rollback_holds_in_every_clone_until_somebody_orders_what_was_left(fleet: Stack) -> None:
    serving = _containers(fleet)
    held = fleet.up()
    assert "web stays at version 1" in held.output
    assert "--forward web" in held.output
    assert not held.changes, str(held)
    assert fleet.slip("preview", "--expect-no-changes").status == 0

    with _colleague(fleet) as other:
        assert _history(other) == _history(fleet)
        there = other.up()
    assert "web stays at version 1" in there.output
    assert {name for name in there.changes if name.startswith("web-web")} == set(), str(there)
    assert _containers(fleet) == serving

    preview = fleet.slip("preview", "--forward", "web")
    assert {"web-web-1", "web-web-2"} <= preview.changes.keys(), str(preview)
    fleet.up("--forward", "web")
    assert _greetings(fleet) == {"tiny version 3"}
    assert _current(fleet) == [3]
    again = fleet.up()
    assert not again.changes, str(again)


def test_a_version_that_the_state_has_lost_is_in_the_registry(fleet: Stack) -> None:
    recorded = _history(fleet)
    assert [one["number"] for one in recorded] == [3, 2, 1]
    registry = fleet.registry()
    for one in recorded:
        listed = registry.referrers("web", one["images"]["web"])
        assert str(one["number"]) in [found["annotations"]["slipway.version"] for found in listed]
        assert {found["artifactType"] for found in listed} == {"application/vnd.slipway.version.v1+json"}

    state = json.loads(fleet.state_file.read_text())
    (outputs,) = (
        one["outputs"]
        for one in state["checkpoint"]["latest"]["resources"]
        if one["type"] == "pulumi:pulumi:Stack"
    )
    outputs["versions"]["web"]["versions"] = [
        one for one in outputs["versions"]["web"]["versions"] if one["number"] != 2
    ]
    fleet.state_file.write_text(json.dumps(state))
    found = _history(fleet)
    assert found[1].pop("registry") == {"name": "2", "verified": True}
    assert found == recorded

    result = fleet.slip("rollback", "web", "--to", "2", "--yes")
    assert result.status == 0, str(result)
    assert _greetings(fleet) == {"tiny version 2"}
    assert _current(fleet) == [2]
    assert not [one for one in _history(fleet) if "registry" in one]
    fleet.up("--forward", "web")
    assert _greetings(fleet) == {"tiny version 3"}


@contextmanager
def _colleague(stack: Stack) -> Iterator[Stack]:
    """The stack in another clone with the same backend."""
    root = stack.clone.root
    other = Clone(root.with_name("colleague"), stack.clone.home)
    shutil.copytree(root, other.root, ignore=shutil.ignore_patterns(".slipway"), symlinks=True)
    other.__dict__["environment"] = stack.clone.environment | {
        "PULUMI_BACKEND_URL": f"file://{root}/.slipway/state",
        "PULUMI_CONFIG_PASSPHRASE_FILE": f"{root}/.slipway/passphrase",
    }
    try:
        yield Stack(other, stack.name)
    finally:
        shutil.rmtree(other.root)


@contextmanager
def _fault_of_the_second_host(stack: Stack) -> Iterator[None]:
    """What listens on one port gets no connection there."""
    block = ("OUTPUT", "--protocol", "tcp", "--dport", str(BLOCKED), "--jump", "REJECT")
    stack.on_host("web-2", "iptables", "--insert", *block)
    try:
        yield
    finally:
        stack.on_host("web-2", "iptables", "--delete", *block)


def test_what_fails_on_the_second_host_only_is_taken_back_from_the_first(fleet: Stack) -> None:
    env = {"GREETING": "tiny version 4", "PORT": str(BLOCKED)}
    with _fault_of_the_second_host(fleet):
        batches = {"canary": 1, "pause": 1}
        _configure(fleet, env=env, port=BLOCKED, healthTimeout=SHORT, rollout=batches)
        with _eight_clients(fleet):
            failed = fleet.slip("up", "--yes")
    assert failed.status == 1, str(failed)
    told = failed.output[failed.output.rindex("error:") :]
    assert f"version 4 failed: web on web-2: it refused the connection on port {BLOCKED}" in told, str(failed)
    assert "All its hosts serve version 3 again: web-1, web-2" in told
    assert "--forward web" in told
    assert _greetings(fleet) == {"tiny version 3"}
    recorded = _history(fleet)
    assert [(one["number"], one["result"]) for one in recorded][:2] == [(4, "failed"), (3, "rolled back to")]
    assert _current(fleet) == [3]

    serving = _containers(fleet)
    after = fleet.up()
    assert "web stays at version 3" in after.output
    assert {name for name in after.changes if name.startswith("web-web")} == set(), str(after)
    assert _containers(fleet) == serving
    for host in HOSTS:
        assert len(fleet.app_containers(host, all_=True)) == 1, host


def test_the_next_command_ends_a_way_back_that_was_killed(fleet: Stack) -> None:
    def first_host_has(number: int) -> bool:
        return len(fleet.app_containers("web-1", all_=True)) == number

    env = {"GREETING": "tiny version 5", "PORT": str(BLOCKED)}
    with _fault_of_the_second_host(fleet):
        _configure(fleet, env=env, port=BLOCKED, healthTimeout=SHORT)
        with _eight_clients(fleet):
            command = fleet.start_slip("up", "--yes")
            eventually("the first host has a third container", lambda: first_host_has(3))
            command.kill_everything()
            killed = command.wait()
            assert "All go back to version 3" in killed.output, str(killed)
            ended = fleet.slip("up", "--yes")
    assert _greetings(fleet) == {"tiny version 3"}, str(ended)
    assert _current(fleet) == [3]
    for host in HOSTS:
        assert len(fleet.app_containers(host, all_=True)) == 1, host

    # The host is well again, and a good version reaches both.
    fleet.up("--forward", "web")
    assert _greetings(fleet) == {"tiny version 5"}
    assert _history(fleet)[0]["result"] == "deployed"


def test_a_restart_gives_fresh_containers_and_fails_no_request(fleet: Stack) -> None:
    before, recorded = _containers(fleet), _history(fleet)
    with _eight_clients(fleet):
        result = fleet.slip("restart", "web")
    assert result.status == 0, str(result)
    after = _containers(fleet)
    assert all(len(after[host]) == 1 and after[host] != before[host] for host in HOSTS)
    assert _history(fleet) == recorded
    assert not fleet.up().changes


def test_a_canary_that_dies_in_the_pause_gives_its_requests_back(fleet: Stack) -> None:
    before, urls = _containers(fleet), fleet.urls()
    (old,) = _greetings(fleet)
    _configure(fleet, env={"GREETING": "a canary", "PORT": str(BLOCKED)}, rollout={"canary": 1, "pause": 600})
    preview = fleet.slip("preview")
    assert "2 batches (web-1; then web-2) with 600 s and a health check between them" in preview.output
    command = fleet.start_slip("up", "--yes")
    eventually("the canary serves", lambda: greeting(urls[0]) == "a canary")
    (canary,) = set(fleet.app_containers("web-1")) - {*before["web-1"]}
    fleet.on_host("web-1", "docker", "kill", canary)
    failed = command.wait()
    assert failed.status == 1, str(failed)
    told = failed.output[failed.output.rindex("error:") :]
    assert re.search("web on web-1: it crashed with exit code (137|unknown), in the pause of 600 s", told), (
        str(failed)
    )
    assert "the previous version continues to serve" in told
    assert _greetings(fleet) == {old}
    assert _containers(fleet) == before

    _configure(fleet, env={"GREETING": "a good one", "PORT": str(BLOCKED)}, rollout={"canary": 1, "pause": 1})
    with _eight_clients(fleet):
        fleet.up()
    assert _greetings(fleet) == {"a good one"}
    for host in HOSTS:
        assert len(fleet.app_containers(host, all_=True)) == 1, host
    assert not fleet.up().changes


def test_a_service_that_is_stopped_stays_so_through_a_roll_out(fleet: Stack) -> None:
    for service in ("web", "cron"):
        assert fleet.slip("stop", service).status == 0
    _configure(fleet, env={"GREETING": "tiny version 6", "PORT": str(BLOCKED)})
    deployed = fleet.up()
    assert "web on web-1 is stopped" in deployed.output, str(deployed)
    assert fleet.app_containers("web-2") == fleet.app_containers("web-2", service="cron") == []
    running = json.loads(fleet.clone.read("./slip", "ps", "--stack", fleet.name, "--json"))
    assert {(one["service"], one["health"]) for one in running} == {("web", "stopped"), ("cron", "stopped")}
    for service in ("web", "cron"):
        started = fleet.slip("start", service)
        assert started.status == 0, str(started)
    assert _greetings(fleet) == {"tiny version 6"}
    assert fleet.slip("preview", "--refresh", "--expect-no-changes").status == 0


def test_a_renewal_in_a_tree_with_other_code_deploys_nothing(fleet: Stack) -> None:
    serving, recorded = _containers(fleet), _history(fleet)

    def other(configuration: dict[str, Any]) -> None:
        services = configuration["services"]
        services["web"]["memory"] = 128
        services["more"] = services["cron"]
        # A certificate that lasts a year is due in its last year but for an hour.
        configuration["certificates"] = {"earlyRenewalHours": 8759}

    with fleet.clone.edited(SERVER, "tiny version 2", "tiny version 7"), fleet.configured(other):
        renewed = fleet.slip("renew", "--yes")
    assert renewed.status == 0, str(renewed)
    assert "web-2-engine-certificate" in renewed.changes, str(renewed)
    assert {
        name for name in renewed.changes if name.startswith(("web-web", "web-image", "cron", "more"))
    } == set()
    assert _containers(fleet) == serving
    assert _history(fleet) == recorded
    # The certificates change once more, since they are due later again.
    after = fleet.up()
    assert {name for name in after.changes if not name.endswith("-certificate")} == set(), str(after)
    assert _containers(fleet) == serving


@pytest.mark.soak
@pytest.mark.timeout(SOAK_LIMIT, func_only=True)
def test_a_way_back_that_is_killed_at_any_of_eight_moments_is_completed(fleet: Stack) -> None:
    def start(number: int) -> tuple[Command, float]:
        """An `up` whose version fails on the second host, as its way back begins."""
        env = {"GREETING": f"tiny kill {number}", "PORT": str(BLOCKED)}
        _configure(fleet, env=env, port=BLOCKED, healthTimeout=SHORT)
        command = fleet.start_slip("up", "--yes")
        command.wait_until_printed("All go back to version")
        return command, time.monotonic()

    _configure(fleet, env={"GREETING": "tiny good"}, port=8080)
    fleet.up("--forward", "web")
    (good,) = _current(fleet)
    with _fault_of_the_second_host(fleet), _eight_clients(fleet):
        command, began = start(0)
        assert command.wait().status == 1
        # How long a way back takes here spreads the moments.
        usual = time.monotonic() - began
        for number in range(1, MOMENTS + 1):
            command, began = start(number)
            after = usual * (number - 0.5) / MOMENTS
            time.sleep(max(0.0, began + after - time.monotonic()))  # the moment itself is the test's input
            command.kill_everything()
            status = command.wait().status
            ended = fleet.slip("up", "--yes")
            said = f"kill {number} after {after:.2f} s of {usual:.2f} s, status {status}; then {ended}"
            print(said.partition(";")[0])
            assert _greetings(fleet) == {"tiny good"}, said
            assert _current(fleet) == [good], said
            for host in HOSTS:
                assert len(fleet.app_containers(host, all_=True)) == 1, said
            assert len(fleet.app_containers("web-2", all_=True, service="cron")) == 1, said
    _configure(fleet, env={"GREETING": "tiny good"}, port=8080)
    fleet.up("--refresh")
    assert fleet.up("--refresh", "--expect-no-changes").changes == {}


@pytest.fixture
def production(fleet: Stack) -> Iterator[Stack]:
    """Another stack of the clone with the same service, its own registry and its own settings."""
    stack = Stack(fleet.clone, "e2e-promoted")
    stack.remove_traces()
    services = {
        "web": {
            "build": {"context": "tests/e2e/fixtures/tiny"},
            "health": "/",
            "healthTimeout": settings.HEALTH_TIMEOUT,
            "drainTimeout": 2,
            "env": {"GREETING": "tiny in production"},
        }
    }
    stack.write_config(
        {
            "platform": {"kind": "local", "portOffset": 1200},
            "hosts": {"box": {"roles": ["registry", "build", "app"]}},
            "services": services,
        }
    )
    try:
        stack.up(seconds=TOOLS_LIMIT)
        yield stack
    finally:
        stack.take_down()


def test_what_a_stack_runs_healthily_is_promoted_to_another_one(fleet: Stack, production: Stack) -> None:
    promotion = ("promote", "web", "--from", fleet.name, "--to", production.name, "--yes")
    clone = fleet.clone
    with clone.edited(SERVER, "ends in order", "ends in good order"):
        fleet.up("--forward", "web")
    digest = next(one["images"]["web"] for one in _history(fleet) if one["current"])
    assert not production.registry().has("web", digest)

    # The hosts are asked, and not the state.
    (container,) = fleet.app_containers("web-2")
    fleet.on_host("web-2", "docker", "pause", container)
    try:
        refused = clone.start("./slip", *promotion).wait()
    finally:
        fleet.on_host("web-2", "docker", "unpause", container)
    assert refused.status == 1, str(refused)
    assert "does not run one healthy version of web:\n  web-2: " in refused.output, str(refused)
    assert not production.registry().has("web", digest)

    with Load(*production.urls()) as load, no_process_shows(fleet, production, more=(SECRET,)):
        promoted = clone.start("./slip", *promotion).wait()
    load.check()
    assert promoted.status == 0, str(promoted)
    assert production.registry().has("web", digest)
    (container,) = production.app_containers("box")
    assert production.outputs()["images"]["web"].endswith(f"@{digest}")
    assert _greetings(production) == {"tiny in production"}
    newest = _history(production)[0]
    assert newest["origin"] == {"stack": fleet.name, "number": _current(fleet)[0]}
    recorded = {one["annotations"]["slipway.stack"] for one in production.registry().referrers("web", digest)}
    assert recorded == {fleet.name, production.name}
    # The clone has other code, which the promoted version holds back.
    held = production.up("--expect-no-changes")
    assert "web stays at version 2, promoted from" in held.output, str(held)
    assert production.app_containers("box") == [container]


def test_an_image_that_is_gone_everywhere_is_said_before_anything_stops(fleet: Stack) -> None:
    serving = _containers(fleet)
    digest = _history(fleet)[-1]["images"]["web"]
    repository = f"{fleet.outputs()['registryAddress']}/web"
    for host in HOSTS:
        fleet.on_host(host, "docker", "rmi", "--force", f"{repository}@{digest}")
    # A host pulls what the registry still has.
    with _registry_stopped(fleet):
        refused = fleet.slip("rollback", "web", "--to", "1", "--yes")
    assert refused.status == 1
    assert "is not on web-1, web-2, and the registry at" in refused.output, str(refused)
    assert _containers(fleet) == serving
