"""How full the disk is on which the registry keeps its data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.errors import CommandError
from cli.running import ssh

DATA_PATH = "/var/lib/slipway/registry"
"""Where the registry's data is, as in components/hosts/host.py, which would be slow to import here."""

WARNING_SHARE, WARNING_BYTES = 0.20, 50 * 10**9
"""It is time to do something when less than this share of the disk is free, and less than so many bytes: a tenth
of a large disk is still a lot."""

FULL_SHARE, FULL_BYTES = 0.05, 5 * 10**9
"""The disk counts as full, likewise."""


@dataclass(frozen=True)
class Disk:
    """A file system."""

    used: int
    """Bytes."""
    free: int
    """Bytes that may still be used."""
    free_inodes_share: float
    """Of the file system's inodes, 0 to 1; 1 where it has no limit."""

    @property
    def free_share(self) -> float:
        """Of what may be used, 0 to 1. Space that the file system keeps for root does not count, as in `df`."""
        return self.free / max(1, self.used + self.free)

    @property
    def is_full(self) -> bool:
        """Whether the next push may be refused."""
        return self._has_less_than(FULL_SHARE, FULL_BYTES)

    @property
    def fills_up(self) -> bool:
        """Whether somebody should do something about it."""
        return self._has_less_than(WARNING_SHARE, WARNING_BYTES)

    def _has_less_than(self, share: float, count: int) -> bool:
        return (self.free_share < share and self.free < count) or self.free_inodes_share < share


COMMAND = f"df -B1 --output=used,avail,itotal,iavail {DATA_PATH}"


def parse(text: str) -> Disk:
    """The file system that `df` told of.

    Raises:
        ValueError: that is not what it says.

    """
    used, free, inodes, free_inodes = (
        0 if word == "-" else int(word) for word in text.splitlines()[-1].split()
    )
    return Disk(used, free, free_inodes / inodes if inodes else 1.0)


def registry_hosts(outputs: Mapping[str, Any]) -> list[str]:
    """The host that keeps the registry's data; none where the registry is somebody else's."""
    return [name for name, host in outputs["hosts"].items() if "registry" in host.get("roles", ())]


def of_registry(outputs: Mapping[str, Any], host: str) -> Disk:
    """The disk of the registry's data on this host.

    Raises:
        CommandError: the host does not say.

    """
    said = ssh.run(outputs, host, COMMAND)
    try:
        return parse(said.stdout)
    except (ValueError, IndexError) as error:
        raise CommandError(f"{host} does not say how full its disk is: {said.stderr.strip()}") from error
