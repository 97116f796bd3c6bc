"""`./slip down` removes what `up` made and keeps the registry's data; `--purge` leaves nothing at all."""

from pathlib import Path

from tests.e2e.conftest import three_hosts
from tests.e2e.load import greeting
from tests.e2e.stack import Clone, Stack


def test_down_keeps_the_images_and_purge_leaves_nothing(one_host: Stack) -> None:
    one_host.up()
    images = one_host.registry().images()
    assert images

    down = one_host.slip("down", "--yes")
    assert down.status == 0, str(down)
    left = one_host.traces()
    assert (left["container"], left["network"]) == ([], [])
    assert one_host.volumes() == [f"slipway-{one_host.name}-registry"]
    assert f"slipway-{one_host.name}-registry" in down.output, "it does not say what it keeps"

    one_host.up()
    assert one_host.registry().lacks(images) == set()
    assert {greeting(url) for url in one_host.urls()} == {"tiny version 1"}
    # The volume has the labels of the stack that was removed; that is no drift.
    look = one_host.slip("preview", "--refresh", "--expect-no-changes")
    assert look.status == 0, str(look)

    purged = one_host.slip("down", "--purge", "--yes")
    assert purged.status == 0, str(purged)
    assert one_host.traces() == {"container": [], "network": [], "volume": []}
    assert one_host.clone.git("status", "--porcelain") == ""


def test_down_without_a_yes_asks_and_removes_nothing(stack: Stack) -> None:
    before = stack.traces()
    result = stack.slip("down")
    assert result.status == 2, str(result)
    assert "--yes" in result.output
    assert stack.traces() == before


def test_another_clones_stack_of_the_same_name_is_left_alone(stack: Stack, tmp_path: Path) -> None:
    """The clone was never started, and has the same configuration."""
    other = Stack(Clone.make(tmp_path), stack.name)
    other.write_config(three_hosts())
    before = stack.traces()

    purged = other.slip("down", "--purge", "--yes")
    assert purged.status == 3, str(purged)
    assert f"of the clone {stack.clone.root}" in purged.output
    assert all(f"container {stack.container(host)}, running" in purged.output for host in ("yard", "web-1"))

    made = other.slip("up")
    assert (made.status, made.changes) == (3, {}), str(made)
    assert f"of the clone {stack.clone.root}" in made.output
    assert f"./slip up -s {stack.name}-2" in made.output

    assert stack.traces() == before
    assert len({greeting(url) for url in stack.urls()}) == 1
    assert stack.up().changes == {}
