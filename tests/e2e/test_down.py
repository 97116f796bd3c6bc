"""`./slip down` removes what `up` made and keeps the registry's data; `--purge` leaves nothing at all."""

from pathlib import Path

from tests.support import settings
from tests.support.clone import Clone
from tests.support.http_load import greeting
from tests.support.stack import Stack


def test_down_keeps_the_images_and_purge_leaves_nothing(new_one_host: Stack) -> None:
    one_host = new_one_host
    one_host.up()
    images = one_host.registry().images()
    assert images

    down = one_host.slip("down", "--yes")
    assert down.status == 0, str(down)
    left = one_host.traces()
    assert (left["container"], left["network"]) == ([], [])
    assert one_host.volumes() == [f"slipway-{one_host.name}-registry"]
    assert f"slipway-{one_host.name}-registry" in down.output, "it does not name what it keeps"

    one_host.up()
    assert one_host.registry().lacks(images) == set()
    assert {greeting(url) for url in one_host.urls()} == {"tiny version 1"}
    # The volume still has the labels of the removed stack; that is no drift.
    look = one_host.slip("preview", "--refresh", "--expect-no-changes")
    assert look.status == 0, str(look)

    purged = one_host.slip("down", "--purge", "--yes")
    assert purged.status == 0, str(purged)
    assert one_host.traces() == {"container": [], "network": [], "volume": []}
    assert one_host.clone.git("status", "--porcelain") == ""
    kept = [
        path
        for path in (one_host.clone.root / ".slipway/state").rglob("*")
        if f"/{one_host.name}" in str(path)
    ]
    assert [path for path in kept if path.is_file()] == [], "it leaves copies of the state"
    assert "have been deleted, but the history" not in purged.output


def test_down_without_a_yes_asks_and_removes_nothing(stack: Stack) -> None:
    before = stack.traces()
    result = stack.slip("down")
    assert result.status == 3, str(result)
    assert "--yes" in result.output
    assert stack.traces() == before


def test_another_clones_stack_of_the_same_name_is_left_alone(stack: Stack, tmp_path: Path) -> None:
    """The other clone has the same configuration, and no command has run in it yet."""
    other = Stack(Clone.make(tmp_path), stack.name)
    other.write_config(settings.three_hosts())
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
