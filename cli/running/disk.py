"""How full a file system of a host is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WARNING_SHARE, WARNING_BYTES = 0.20, 50 * 10**9
"""A disk is filling up if it has less free than this share, and less than this many bytes: a tenth of a large disk is
still a lot."""

FULL_SHARE, FULL_BYTES = 0.05, 5 * 10**9
"""A disk counts as full if it has less free than both."""


@dataclass(frozen=True)
class Disk:
    """A file system."""

    path: str
    """Where it is mounted."""
    used: int
    """Bytes."""
    free: int
    """Bytes that may still be used."""
    free_inodes_share: float
    """Share of the file system's inodes, 0 to 1; 1 for a file system without a limit."""

    @property
    def free_share(self) -> float:
        """Share of the usable space, 0 to 1. As in `df`, space that is reserved for root does not count."""
        return self.free / max(1, self.used + self.free)

    @property
    def is_full(self) -> bool:
        """Whether the next push, pull or log line may be refused."""
        return self._has_less_than(FULL_SHARE, FULL_BYTES)

    @property
    def is_filling_up(self) -> bool:
        """Whether the operator should make room soon."""
        return self._has_less_than(WARNING_SHARE, WARNING_BYTES)

    def _has_less_than(self, share: float, count: int) -> bool:
        return (self.free_share < share and self.free < count) or self.free_inodes_share < share


def registry_hosts(outputs: Mapping[str, Any]) -> list[str]:
    """The host with the registry's data; none for an external registry."""
    return [name for name, host in outputs["hosts"].items() if "registry" in host.get("roles", ())]
