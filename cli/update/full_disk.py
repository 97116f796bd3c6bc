"""Whether a failed update failed because the registry's disk is full.

The registry answers a push then with HTTP 500, and Docker shows no more of it.
"""

from contextlib import suppress

from cli import console
from cli.errors import CommandError
from cli.running import disk
from cli.stack.stack import Stack
from cli.text import size

ROOM_BYTES, ROOM_SHARE = 256 * 10**6, 0.001
"""A push of one layer may need as many bytes, and some inodes: this share of all."""


def report(stack: Stack) -> bool:
    """Say that the registry's disk has no room left, if that is so. Returns whether it is."""
    with suppress(CommandError):  # the host does not answer, which is reported elsewhere
        outputs = stack.outputs()
        for host in disk.registry_hosts(outputs) if "hosts" in outputs else ():
            found = disk.of_registry(outputs, host)
            if has_no_room(found):
                console.warn(
                    f"The registry's disk on {host} is full: {size(found.free)} are free. Pushes fail until there is "
                    f"room.\n  Remove old images: `./slip prune{stack.option}`, then run this command again.\n"
                    "  If that does not help, make the disk larger."
                )
                return True
    return False


def has_no_room(found: disk.Disk) -> bool:
    """Whether a push may need more than is free."""
    return found.free < ROOM_BYTES or found.free_inodes_share < ROOM_SHARE
