"""Cleans up after a killed update, so that the next one needs no manual unlocking.

A killed update leaves up to three things: its marker, the backend's lock, and pending operations in the state, which
had begun and not ended. Only what this clone's own update has left is cleaned up: the lock of another update is left to
whoever runs it.
"""

import socket
import time
from datetime import timedelta

from cli import console
from cli.errors import CommandError
from cli.stack import deployment, processes
from cli.stack.backend import Lock
from cli.stack.stack import Stack
from cli.update import copied_clone, remote_lock
from cli.update.marker import Marker, hold, unmark

PLUGINS_PATIENCE = 10.0
"""Seconds that a killed CLI's plugins have to end."""

OLD_LOCK = timedelta(hours=6)
"""The age of a lock of a review environment by which its update must have ended, on whatever machine: a job of CI takes
minutes."""

LOCK_SECONDS = 10.0
"""Seconds after an update's start in which a lock that it found was taken."""


def recover(stack: Stack) -> bool:
    """Keep other updates out, and clean up after a killed one. Returns whether the next update needs `--refresh`.

    With a file backend this also detects a killed plain `pulumi up`; with another backend, only the marker counts. If
    no update was killed, this reads two files.

    Raises:
        CommandError: another update runs, another machine or clone holds the lock, or this clone is a copy.

    """
    marker = _keep_others_out(stack)[0]
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


def stop(stack: Stack) -> None:
    """Keep other updates out of a review environment, and wait until nothing of a killed one runs any more.

    Its jobs run in fresh clones, which have no marker of an update that was killed. But only `slip` updates such a
    stack, and this process then has its lock. So any lock of Pulumi's is of a killed update, unless its process runs
    here, or it is another machine's and not old.

    Raises:
        CommandError: another update runs, another machine holds the lock, or this clone is a copy.

    """
    marker, had_lock = _keep_others_out(stack, only_slip=True)
    if marker or had_lock:
        _wait_for_plugins(stack)
        from cli.update.pending_operations import ENGINE_PATIENCE  # slow to import: the SDK of Docker

        time.sleep(ENGINE_PATIENCE)


def _keep_others_out(stack: Stack, *, only_slip: bool = False) -> tuple[Marker | None, bool]:
    """Keep other updates out. Returns the marker of a killed one, and whether that one had a lock."""
    # Ahead of the marker and the lock, which may be copies, too.
    copied_clone.refuse(stack)
    hold(stack)
    marker = Marker.read(stack)
    if marker:
        _wait_for_orphan(stack, marker)
    return marker, _release(stack, marker, only_slip=only_slip)


def _release(stack: Stack, marker: Marker | None, *, only_slip: bool = False) -> bool:
    """Release the lock of this clone's killed update. Returns whether there was one.

    Raises:
        CommandError: another update holds a lock.

    """
    is_file = stack.backend.directory is not None
    locks = stack.locks()
    if not is_file and marker:  # asking takes a second
        locks = remote_lock.locks(stack)
    for lock in locks:
        _refuse_foreign(stack, lock, marker, only_slip=only_slip)
    if not locks:
        return False
    console.say(f"The last update of {stack.name} was killed: releasing its lock.")
    if is_file:
        for lock in locks:
            lock.release()
    else:
        stack.pulumi.read("cancel", "--stack", stack.name, "--yes")
    return True


def explain_lock(stack: Stack, seconds: float) -> None:
    """After an update that failed: if another one kept it out, say whose that is.

    Args:
        stack: the stack.
        seconds: how long the update took.

    Raises:
        CommandError: another update holds the lock.

    """
    if seconds < LOCK_SECONDS:
        for lock in stack.locks():
            raise _foreign(stack, lock)


def _refuse_foreign(stack: Stack, lock: Lock, marker: Marker | None, *, only_slip: bool) -> None:
    """Refuse to go on unless a lock is of this clone's own update, which was killed; or, with `only_slip`, of any."""
    if lock.host == socket.gethostname():
        is_marked = bool(marker and (marker.pulumi, marker.host) == (lock.pid, lock.host))
        if is_marked and marker and not marker.is_of_this_start:
            return  # the machine has been restarted since
        start = marker.pulumi_start if is_marked and marker else 0
        if processes.is_running(lock.pid, "pulumi", start=start, recorded=lock.since):
            raise CommandError(
                f"another update of the stack '{stack.name}' runs: {lock}",
                "Wait until it ends, or interrupt it in its terminal.",
            )
        # Of a shared backend, other clones and other machines of this name may have killed updates, too.
        if is_marked or stack.backend.is_own or only_slip:
            return
    elif only_slip and processes.now() - lock.since > OLD_LOCK:
        return
    raise _foreign(stack, lock)


def _foreign(stack: Stack, lock: Lock) -> CommandError:
    return CommandError(
        f"the stack '{stack.name}' is locked by another update: {lock}",
        f'Wait until it ends. If none runs there any more: eval "$(./slip env{stack.option})" && '
        f"pulumi cancel -s {stack.name} --yes",
    )


def _wait_for_orphan(stack: Stack, marker: Marker) -> None:
    """If only `slip` was killed, wait until its Pulumi CLI has ended."""
    if not marker.is_of_this_start:
        return  # written on another machine, or before a rename or a restart: its process ids mean nothing here
    if processes.is_running(marker.slip, "-m cli", recorded=marker.since):
        # A version without the lock runs it.
        raise CommandError(
            f"another update of the stack '{stack.name}' runs: process {marker.slip}, "
            f"since {processes.local_time(marker.since)}",
            "Wait until it ends, or interrupt it in its terminal.",
        )

    def runs() -> bool:
        return processes.is_running(marker.pulumi, "pulumi", start=marker.pulumi_start, recorded=marker.since)

    if runs():
        console.say(
            f"The Pulumi CLI of a killed update of {stack.name} still runs (process {marker.pulumi}): "
            "waiting for its end."
        )
        while runs():
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
