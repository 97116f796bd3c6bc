"""In which batches a service's hosts get a version. Imports nothing of Slipway."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Batches:
    """The batches of a service, and what is between them."""

    hosts: Sequence[Sequence[str]]
    pause: int
    """Seconds."""

    def described(self, changing: Collection[str]) -> str:
        """How these hosts of the service get a version, for people, behind `rolled over`."""
        found = [", ".join(here) for batch in self.hosts if (here := [h for h in batch if h in changing])]
        if len(found) < 2:
            return f"{', '.join(found)}{' at the same time' if len(changing) > 1 else ''}"
        between = f"{self.pause} s and a health check" if self.pause else "a health check"
        return f"{len(found)} batches ({'; then '.join(found)}) with {between} between them"


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
