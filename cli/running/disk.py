"""How full the disk with the registry's data is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.errors import CommandError
from cli.running import ssh
from well_known import REGISTRY_DATA_PATH

WARNING_SHARE, WARNING_BYTES = 0.20, 50 * 10**9
"""A disk is filling up if it has less free than this share, and less than this many bytes: a tenth of a large disk is
still a lot."""

FULL_SHARE, FULL_BYTES = 0.05, 5 * 10**9
"""A disk counts as full if it has less free than both."""

COMMAND = f"df -B1 --output=used,avail,itotal,iavail {REGISTRY_DATA_PATH}"


@dataclass(frozen=True)
class Disk:
    """A file system."""

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
        """Whether the next push may be refused."""
        return self._has_less_than(FULL_SHARE, FULL_BYTES)

    @property
    def is_filling_up(self) -> bool:
        """Whether the operator should make room soon."""
        return self._has_less_than(WARNING_SHARE, WARNING_BYTES)

    def _has_less_than(self, share: float, count: int) -> bool:
        return (self.free_share < share and self.free < count) or self.free_inodes_share < share


def parse(text: str) -> Disk:
    """The file system in the output of `COMMAND`.

    Raises:
        ValueError: the output is something else.

    """
    used, free, inodes, free_inodes = (
        0 if word == "-" else int(word) for word in text.splitlines()[-1].split()
    )
    return Disk(used, free, free_inodes / inodes if inodes else 1.0)


def registry_hosts(outputs: Mapping[str, Any]) -> list[str]:
    """The host with the registry's data; none for an external registry."""
    return [name for name, host in outputs["hosts"].items() if "registry" in host.get("roles", ())]


def of_registry(outputs: Mapping[str, Any], host: str) -> Disk:
    """The disk with the registry's data on this host.

    Raises:
        CommandError: the host does not answer, or `df` failed there.

    """
    result = ssh.run(outputs, host, COMMAND)
    try:
        return parse(result.stdout)
    except (ValueError, IndexError) as error:
        raise CommandError(f"`{COMMAND}` failed on {host}: {result.stderr.strip()}") from error
