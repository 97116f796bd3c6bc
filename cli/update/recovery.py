"""Cleans up after a killed update, so that the next one needs no manual unlocking.

A killed update leaves up to three things: its marker, the backend's lock, and pending operations in the state, which
had begun and not ended.
"""

import socket
import time
from datetime import datetime

from cli import console
from cli.errors import CommandError
from cli.stack import deployment, processes
from cli.stack.backend import Lock
from cli.stack.stack import Stack
from cli.update.marker import Marker, unmark

PLUGINS_PATIENCE = 10.0
"""Seconds that a killed CLI's plugins have to end."""


def recover(stack: Stack) -> bool:
    """Clean up after a killed update. Returns whether the next update needs `--refresh`.

    With a file backend this also detects a killed plain `pulumi up`; with another backend, only the marker counts. If
    no update was killed, this reads two files.

    Raises:
        CommandError: another update runs, or another machine holds the lock.

    """
    marker = Marker.read(stack)
    if marker:
        _wait_for_orphan(stack, marker)
    locks = stack.locks()
    for lock in locks:
        _refuse_live(stack, lock)
    if locks or (marker and stack.backend.directory is None):
        console.say(f"The last update of {stack.name} was killed: releasing its lock.")
        stack.pulumi.attempt("cancel", "--stack", stack.name, "--yes")
    # Without a state file, reading the state takes a third of a second, so only do it after a killed update.
    look = marker or stack.backend.directory is not None
    pending = deployment.pending_operations(stack.deployment()) if look else []
    refresh = False
    if pending:
        _wait_for_plugins(stack)
        from cli.update import pending_operations  # slow to import: the SDK of Docker

        refresh = pending_operations.settle(stack)
    unmark(stack)
    return refresh


def _wait_for_orphan(stack: Stack, marker: Marker) -> None:
    """Refuse while the marked update runs. If only `slip` was killed, wait until its Pulumi CLI has ended."""
    if marker.host != socket.gethostname():
        return  # written on another machine, or before a rename: its process ids mean nothing here
    if processes.is_running(marker.slip, "-m cli"):
        raise _busy(stack, marker.slip, marker.since)
    if processes.is_running(marker.pulumi, "pulumi"):
        console.say(
            f"The Pulumi CLI of a killed update of {stack.name} still runs (process {marker.pulumi}): "
            "waiting for its end."
        )
        while processes.is_running(marker.pulumi, "pulumi"):
            time.sleep(0.2)


def _wait_for_plugins(stack: Stack) -> None:
    """Wait until the plugins of a killed CLI have ended: until then they may still create resources.

    They notice the CLI's end within a second. Plugins of a running update have a CLI as parent, and do not count.
    """
    home = stack.added_variables.get("PULUMI_HOME", "")
    deadline = time.monotonic() + PLUGINS_PATIENCE
    while home and time.monotonic() < deadline:
        running = processes.everything()
        parents = {pid for pid, process in running.items() if "pulumi" in process.command}
        if not any(
            f"{home}/" in process.command and process.parent not in parents for process in running.values()
        ):
            return
        time.sleep(0.1)


def _refuse_live(stack: Stack, lock: Lock) -> None:
    if lock.host != socket.gethostname():
        raise CommandError(
            f"the stack '{stack.name}' was locked on the machine {lock.host} at {lock.since:%Y-%m-%d %H:%M} UTC",
            f'If no update runs there: eval "$(./slip env{stack.option})" && pulumi cancel -s {stack.name}',
        )
    if processes.is_running(lock.pid, "pulumi"):
        raise _busy(stack, lock.pid, lock.since)


def _busy(stack: Stack, pid: int, since: datetime) -> CommandError:
    return CommandError(
        f"another update of the stack '{stack.name}' runs: process {pid}, since {since.astimezone():%H:%M:%S}",
        "Wait until it ends, or interrupt it in its terminal.",
    )
