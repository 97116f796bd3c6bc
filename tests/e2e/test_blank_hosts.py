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

NOTE = "/data/note"
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
                }
            },
        }
    )
    try:
        stack.up(seconds=TOOLS_LIMIT)
        clone.edit(SERVER, "tiny version 1", "tiny version 2")
        clone.commit("Greet for the second time")
        stack.up()
        assert _inside(stack, f"echo kept >{NOTE}; cat {NOTE}") == "kept"
        for name in ("web", "registry"):
            made = stack.slip("backup", name)
            assert made.status == 0, str(made)
        yield stack
    finally:
        stack.take_down()


def _inside(stack: Stack, command: str) -> str:
    (name,) = stack.app_containers("data-1")
    return stack.on_host("data-1", "docker", "exec", name, "sh", "-c", command)


def test_a_drill_restores_onto_new_hosts_and_leaves_nothing(noted: Stack) -> None:
    before, container = noted.state(), noted.app_containers("data-1")
    drilled = noted.slip("drill", "--blank", seconds=TOOLS_LIMIT)
    assert drilled.status == 0, str(drilled)
    for words in ("web is restored", "registry is restored", "tags and", "Nothing of them is left"):
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


def _lose(stack: Stack, host: str) -> None:
    """Take a host away with all of its data, as a machine that breaks."""
    container = stack.container(host)
    mounts = json.loads(docker("inspect", container, "--format", "{{ json .Mounts }}"))
    docker("rm", "--force", container)
    docker("volume", "rm", *(one["Name"] for one in mounts if one["Type"] == "volume"))
