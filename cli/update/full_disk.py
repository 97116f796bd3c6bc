"""Whether a failed update failed because the registry's disk is full.

The registry answers a push then with HTTP 500, and Docker shows no more of it.
"""

import os
import re
import signal
import threading
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cli import console
from cli.errors import CommandError
from cli.running.disk import Disk, registry_hosts
from cli.screen.events import Event, Message
from cli.stack.stack import Stack
from cli.text import size
from cli.update.aftermath import Aftermath
from well_known import REGISTRY_DATA_PATH

if TYPE_CHECKING:
    from cli.running.host_report import HostReport

REPEATED = re.compile(r"\bRetrying in \d+ second|the engine tries again for a minute")
"""What Docker says of a layer that the registry refused, and what the stand-in plugin says of that."""
ROOM_BYTES, ROOM_SHARE = 256 * 10**6, 0.001
"""A push of one layer may need as many bytes, and some inodes: this share of all."""


class Guard:
    """Ends an update whose push the registry refuses since its disk is full: Docker would try again for a minute.

    It asks the registry's host when Docker begins to try again, so no other update pays for it.
    """

    def __init__(self, stack: Stack) -> None:
        """Wait for a push that is repeated."""
        self._stack = stack
        self._pid = 0
        self._thread: threading.Thread | None = None
        self.has_ended_it = False
        """Whether the disk was full, and the update was interrupted for that."""

    def started(self, pid: int) -> None:
        """Note the process of the update."""
        self._pid = pid

    def take(self, event: Event) -> None:
        """Look at an event of the update."""
        if self._thread is None and isinstance(event, Message) and REPEATED.search(event.text):
            self._thread = threading.Thread(target=self._ask, daemon=True)
            self._thread.start()

    def _ask(self) -> None:
        from cli.running import fleet  # slow to import

        try:
            outputs = self._stack.outputs()
            hosts = registry_hosts(outputs)
            reports = fleet.ask(outputs, hosts) if hosts else {}
        except (CommandError, LookupError, ValueError):
            return  # the first update has no outputs yet
        if self._pid and any(_is_full(report) for report in reports.values()):
            self.has_ended_it = True
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGINT)


def _is_full(found: "HostReport") -> bool:
    disk = registry_disk(found)
    return disk is not None and has_no_room(disk)


def report(aftermath: Aftermath, option: str) -> bool:
    """Say that the registry's disk has no room left, if that is so. Returns whether it is.

    Args:
        aftermath: what the hosts say.
        option: the option that names the stack on the command line.

    """
    reports = aftermath.reports
    for host in registry_hosts(aftermath.outputs) if reports else ():
        disk = registry_disk(reports[host])
        if disk and _is_full(reports[host]):
            console.warn(
                f"The registry's disk on {host} is full: {size(disk.free)} are free. Pushes fail until there is room.\n"
                f"  Remove old images: `./slip prune{option}`, then run this command again.\n"
                "  If that does not help, make the disk larger."
            )
            return True
    return False


def registry_disk(found: "HostReport") -> Disk | None:
    """The file system with the registry's data; None if the host does not answer."""
    data = PurePosixPath(REGISTRY_DATA_PATH)
    holding = [disk for disk in found.disks if data.is_relative_to(disk.path)]
    return max(holding, key=lambda disk: len(disk.path), default=None)


def has_no_room(found: Disk) -> bool:
    """Whether a push may need more than is free."""
    return found.free < ROOM_BYTES or found.free_inodes_share < ROOM_SHARE
