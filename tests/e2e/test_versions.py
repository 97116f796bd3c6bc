"""Versions of a service on two hosts: history, differences, rollbacks that hold, and what a failed one leaves."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support import settings
from tests.support.clone import Clone
from tests.support.http_load import Load, greeting
from tests.support.stack import Stack

SERVER = "tests/e2e/fixtures/tiny/server.pl"
HOSTS = ("web-1", "web-2")


@pytest.fixture(scope="module")
def fleet(clone: Clone) -> Iterator[Stack]:
    """Two hosts with the tiny service at version 3: another greeting in the code, then another one in the settings."""
    stack = Stack(clone, "e2e-versions")
    stack.remove_traces()
    stack.write_config(
        {
            "platform": {"kind": "local", "portOffset": 700},
            "hosts": {"web-1": {"roles": ["registry", "build", "app"]}, "web-2": {"roles": ["app"]}},
            "services": {
                "web": {
                    "build": {"context": "tests/e2e/fixtures/tiny"},
                    "health": "/",
                    "healthTimeout": settings.HEALTH_TIMEOUT,
                    "drainTimeout": 2,
                    "secrets": ["TOKEN"],
                }
            },
            "secrets": {"TOKEN": "a-secret-of-the-first-version"},
        }
    )
    try:
        stack.up(seconds=1200)
        clone.edit(SERVER, "tiny version 1", "tiny version 2")
        clone.commit("Greet for the second time")
        stack.up()
        stack.configure({"services": _service(stack, env={"GREETING": "tiny version 3"}, memory=256)})
        stack.up()
        yield stack
    finally:
        clone.git("checkout", "--quiet", "--", ".")
        stack.take_down()


def _service(stack: Stack, **changes: Any) -> dict[str, Any]:
    import yaml

    now = yaml.safe_load(stack.config_file.read_text())["config"]["slipway:services"]["web"]
    return {"web": {**now, **changes}}


def _history(stack: Stack) -> list[dict[str, Any]]:
    return json.loads(stack.slip("history", "web", "--json").stdout)


def _greetings(stack: Stack) -> set[str]:
    return {greeting(url) for url in stack.urls()}


def _containers(stack: Stack) -> dict[str, list[str]]:
    return {host: sorted(stack.app_containers(host)) for host in HOSTS}


def test_versions_are_recorded_compared_and_rolled_back_without_a_failed_request(fleet: Stack) -> None:
    newest, *_ = found = _history(fleet)
    assert [one["number"] for one in found] == [3, 2, 1]
    assert [one["current"] for one in found] == [True, False, False]
    assert found[1]["message"] == "Greet for the second time"
    assert newest["deployments"][0]["hosts"] == list(HOSTS)
    assert newest["deployments"][0]["seconds"] >= 1
    assert newest["secrets"].keys() == {"TOKEN"}
    assert "a-secret-of-the-first-version" not in json.dumps(found)

    shown = fleet.slip("diff", "web", "2", "3").stdout
    assert "env.GREETING" in shown
    assert "memory" in shown
    assert "image" not in shown
    assert "image" in fleet.slip("diff", "web", "1", "2").stdout

    unknown = fleet.slip("rollback", "web", "--to", "41", "--yes")
    assert unknown.status == 1
    assert "Versions: 3, 2, 1" in unknown.stderr

    urls = fleet.urls()
    with ExitStack() as loads:
        # Eight clients for each host.
        both = [loads.enter_context(Load(*urls)) for _ in range(2)]
        result = fleet.slip("rollback", "web", "--to", "1", "--yes")
    assert result.status == 0, str(result)
    for load in both:
        load.check()
    assert _greetings(fleet) == {"tiny version 1"}
    # Nothing was built, and nothing but the service was touched.
    assert {name for name in result.changes if not name.startswith("web-")} == set(), result.changes
    assert "web-image" not in result.changes
