"""A stack whose state and passphrase are lost: one command removes its hosts, and the next `up` finds its images."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import settings
from tests.support.clone import Clone
from tests.support.http_load import greeting
from tests.support.stack import Stack
from tests.support.waiting import TOOLS_LIMIT

OFFSET = 800


@pytest.fixture
def stack(machine: None, tmp_path: Path) -> Iterator[Stack]:
    """A stack of one host in a clone of its own, since its passphrase and its state get lost."""
    stack = Stack(Clone.make(tmp_path), "e2e-lost")
    stack.remove_traces()
    configuration = settings.one_host()
    configuration["platform"]["portOffset"] = OFFSET
    del configuration["registry"]
    stack.write_config(configuration)
    try:
        yield stack
    finally:
        stack.forget()


def test_the_registrys_images_outlive_state_and_passphrase(stack: Stack) -> None:
    stack.up(seconds=TOOLS_LIMIT)
    images = stack.registry().images()
    password = stack.registry().account[1]
    shutil.rmtree(stack.clone.root / ".slipway")

    way_out = f"./slip down --without-state -s {stack.name}"
    hosts = stack.traces()
    refused = stack.slip("up")
    assert refused.status == 3, str(refused)
    assert way_out in refused.output, str(refused)
    # With another configuration the passphrase is no obstacle, but the hosts are.
    with stack.configured(lambda configuration: configuration.pop("passwords")):
        lines = stack.config_file.read_text().splitlines(keepends=True)
        without_salt = (line for line in lines if not line.startswith("encryptionsalt:"))
        stack.config_file.write_text("".join(without_salt))
        refused = stack.slip("up")
        assert refused.status == 3, str(refused)
        assert "no host was made" in refused.output
        assert way_out in refused.output, str(refused)
    assert stack.traces() == hosts

    unanswered = stack.slip("down", "--without-state")
    assert unanswered.status == 3, str(unanswered)
    assert stack.traces() == hosts
    removed = stack.slip("down", "--without-state", "--yes")
    assert removed.status == 0, str(removed)
    assert stack.volumes() == [f"slipway-{stack.name}-registry"]
    assert not stack.traces()["container"]
    assert "secure:" not in stack.config_file.read_text()

    stack.up()
    assert stack.registry().lacks(images) == set()
    assert stack.registry().account[1] != password
    assert greeting(stack.urls()[0])
    # The state is there now, so this is no way to remove the stack.
    refused = stack.slip("down", "--without-state", "--yes")
    assert refused.status == 2, str(refused)
    assert stack.traces()["container"]
