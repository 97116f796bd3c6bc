"""In which batches a service's hosts get a version."""

import pytest

from batches import batches

EIGHT = [f"web-{number}" for number in range(1, 9)]


@pytest.mark.parametrize(
    ("hosts", "parallel", "canary", "sizes"),
    [
        (EIGHT, 1, 0, [1] * 8),
        (EIGHT, 3, 0, [3, 3, 2]),
        (EIGHT, 3, 1, [1, 3, 3, 1]),
        (EIGHT, 1000, 2, [2, 6]),
        (EIGHT, "25%", 0, [2] * 4),
        (EIGHT, "25%", 1, [1, 2, 2, 2, 1]),
        (EIGHT, "30%", 0, [2] * 4),
        (EIGHT, "1%", 0, [1] * 8),
        (EIGHT, "100%", 0, [8]),
        (EIGHT[:3], "50%", 0, [1, 1, 1]),
        (EIGHT[:1], 2, 0, [1]),
        ([], 1, 0, []),
    ],
)
def test_each_host_is_in_one_batch_in_order(
    hosts: list[str], parallel: int | str, canary: int, sizes: list[int]
) -> None:
    found = batches(hosts, parallel, canary)
    assert [len(batch) for batch in found] == sizes
    assert [host for batch in found for host in batch] == hosts
