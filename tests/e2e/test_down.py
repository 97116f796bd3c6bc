"""`./slip down` removes what `up` made and keeps the registry's data; `--purge` leaves nothing at all."""

from tests.e2e.load import greeting
from tests.e2e.stack import Stack


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
