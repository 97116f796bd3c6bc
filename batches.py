"""In which batches a service's hosts get a version. Imports nothing of Slipway."""

from collections.abc import Sequence


def batches(hosts: Sequence[str], parallel: int | str = 1, canary: int = 0) -> list[list[str]]:
    """The batches, in order: the canaries first, then the others, so many at a time.

    Args:
        hosts: the service's hosts, in the order of the roll-out.
        parallel: how many hosts are in a batch: a number, or a share of all hosts such as `25%`, rounded down, but one
            host at least.
        canary: how many hosts are in a batch of their own before all others; 0 for none.
    """
    size = max(1, len(hosts) * int(parallel[:-1]) // 100 if isinstance(parallel, str) else parallel)
    first, others = list(hosts[:canary]), hosts[canary:]
    found = [list(others[begin : begin + size]) for begin in range(0, len(others), size)]
    return [first, *found] if first else found
