"""Backups come back on hosts that are new: of a drill, and in place of a host that is lost with all its data.

`make soak` runs it.
"""

import json
from collections.abc import Iterator

import pytest

from tests.support import settings
from tests.support.clone import Clone
from tests.support.docker_command import docker
from tests.support.stack import Stack
from tests.support.waiting import TOOLS_LIMIT

pytestmark = pytest.mark.soak

NOTE, ROW = "/data/note", "/rows/row"
SERVER = "tests/e2e/fixtures/tiny/server.pl"


@pytest.fixture(scope="module")
def noted(clone: Clone) -> Iterator[Stack]:
    """Two hosts that keep the backups of each other: the registry on one, a service with a volume on the other."""
    stack = Stack(clone, "e2e-blank")
    stack.remove_traces()
    stack.write_config(
        {
            "platform": {"kind": "local", "portOffset": 1400},
            "hosts": {"yard": {"roles": ["registry", "build"]}, "data-1": {"roles": ["app"]}},
            "registry": {"backup": {"to": {"host": "data-1"}}},
            "services": {
                "web": {
                    "build": {"context": "tests/e2e/fixtures/tiny"},
                    "health": "/",
                    "healthTimeout": settings.HEALTH_TIMEOUT,
                    "drainTimeout": 1,
                    "volumes": {"data": "/data"},
                    "backup": {"volumes": ["data"], "check": f"grep kept {NOTE}", "to": {"host": "yard"}},
                },
                "rows": {
                    "from": "web",
                    "needs": ["web"],
                    "entrypoint": ["/bin/sh", "-c"],
                    "command": ["touch /alive && exec sleep 1000000"],
                    "health": {"command": "test -e /alive"},
                    "volumes": {"rows": "/rows"},
                    "backup": {
                        "command": f"cat {ROW}",
                        "restoreCommand": f"cat >{ROW}",
                        "check": f"grep kept {ROW}",
                        "to": {"host": "yard"},
                    },
                },
                # A drill leaves it out.
                "tidy": {"from": "rows", "command": ["true"], "schedule": "17 3 1 1 *"},
            },
        }
    )
    try:
        stack.up(seconds=TOOLS_LIMIT)
        clone.edit(SERVER, "tiny version 1", "tiny version 2")
        clone.commit("Greet for the second time")
        stack.up()
        assert _inside(stack, f"echo kept >{NOTE}; cat {NOTE}") == "kept"
        _inside(stack, f"echo kept >{ROW}", "rows")
        for name in ("web", "rows", "registry"):
            made = stack.slip("backup", name)
            assert made.status == 0, str(made)
        yield stack
    finally:
        stack.take_down()


def _inside(stack: Stack, command: str, service: str = "web") -> str:
    (name,) = stack.app_containers("data-1", service=service)
    return stack.on_host("data-1", "docker", "exec", name, "sh", "-c", command)


def test_a_drill_restores_onto_new_hosts_and_leaves_nothing(noted: Stack) -> None:
    before, container = noted.state(), noted.app_containers("data-1")
    drilled = noted.slip("drill", "--blank", seconds=TOOLS_LIMIT)
    assert drilled.status == 0, str(drilled)
    for words in (
        "web is restored",
        "rows is restored",
        "registry is restored",
        "tags and",
        "Nothing of them is left",
    ):
        assert words in drilled.output, str(drilled)
    blank = Stack(noted.clone, f"drill-{noted.name}")
    assert not blank.is_there()
    assert not blank.config_file.exists()
    assert blank.name not in noted.clone.read("./slip", "stacks")
    assert (noted.state(), noted.app_containers("data-1")) == (before, container)

    # Data that is not right fails it, and nothing is left either.
    _inside(noted, f"echo lost >{NOTE}")
    assert noted.slip("backup", "web").status == 0
    drilled = noted.slip("drill", "web", "--blank", seconds=TOOLS_LIMIT)
    assert drilled.status == 1, str(drilled)
    assert "the check of the restored data failed" in drilled.output, str(drilled)
    assert not blank.is_there()
    _inside(noted, f"echo kept >{NOTE}")
    assert noted.slip("backup", "web").status == 0


def test_a_lost_registry_gets_its_images_back_on_a_new_host(noted: Stack) -> None:
    images = noted.registry().images()
    _lose(noted, "yard")
    noted.up()
    assert noted.registry().lacks(images), "the update has pushed all that was lost"
    restored = noted.slip("restore", "registry", "--yes")
    assert restored.status == 0, str(restored)
    assert not noted.registry().lacks(images)


def test_a_lost_service_host_and_the_backups_that_it_kept_come_back(noted: Stack) -> None:
    _lose(noted, "data-1")
    forgotten = noted.slip("forget", "data-1", "--yes")
    assert forgotten.status == 0, str(forgotten)
    noted.up()
    assert _inside(noted, f"ls {NOTE} 2>/dev/null || true") == ""
    for service, file in (("web", NOTE), ("rows", ROW)):
        restored = noted.slip("restore", service, "--yes")
        assert restored.status == 0, str(restored)
        assert _inside(noted, f"cat {file}", service) == "kept"
    # The registry's were on the lost host, and nothing begins anew in silence.
    lost = noted.slip("backup", "registry")
    assert lost.status == 1, str(lost)
    assert "./slip backup registry --new" in lost.output
    anew = noted.slip("backup", "registry", "--new")
    assert anew.status == 0, str(anew)
    assert noted.slip("backups", "registry").output.count("the images") == 1
    for service in ("web", "rows"):
        assert noted.slip("backup", service).status == 0
    verified = noted.slip("verify")
    assert verified.status == 0, str(verified)


def _lose(stack: Stack, host: str) -> None:
    """Take a host away with all of its data, as a machine that breaks."""
    container = stack.container(host)
    mounts = json.loads(docker("inspect", container, "--format", "{{ json .Mounts }}"))
    docker("rm", "--force", container)
    docker("volume", "rm", *(one["Name"] for one in mounts if one["Type"] == "volume"))
