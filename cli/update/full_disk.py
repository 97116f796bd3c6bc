"""Whether a failed update failed because the registry's disk is full.

The registry answers a push then with HTTP 500, and Docker shows no more of it.
"""

from pathlib import PurePosixPath

from cli import console
from cli.running.disk import Disk, registry_hosts
from cli.running.host_report import HostReport
from cli.text import size
from cli.update.aftermath import Aftermath
from well_known import REGISTRY_DATA_PATH

ROOM_BYTES, ROOM_SHARE = 256 * 10**6, 0.001
"""A push of one layer may need as many bytes, and some inodes: this share of all."""


def report(aftermath: Aftermath, option: str) -> bool:
    """Say that the registry's disk has no room left, if that is so. Returns whether it is.

    Args:
        aftermath: what the hosts say.
        option: the option that names the stack on the command line.

    """
    reports = aftermath.reports
    for host in registry_hosts(aftermath.outputs) if reports else ():
        disk = registry_disk(reports[host])
        if disk and has_no_room(disk):
            console.warn(
                f"The registry's disk on {host} is full: {size(disk.free)} are free. Pushes fail until there is room.\n"
                f"  Remove old images: `./slip prune{option}`, then run this command again.\n"
                "  If that does not help, make the disk larger."
            )
            return True
    return False


def registry_disk(found: HostReport) -> Disk | None:
    """The file system with the registry's data; None if the host does not answer."""
    data = PurePosixPath(REGISTRY_DATA_PATH)
    holding = [disk for disk in found.disks if data.is_relative_to(disk.path)]
    return max(holding, key=lambda disk: len(disk.path), default=None)


def has_no_room(found: Disk) -> bool:
    """Whether a push may need more than is free."""
    return found.free < ROOM_BYTES or found.free_inodes_share < ROOM_SHARE
