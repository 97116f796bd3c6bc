"""The check of `slip verify` on the hosts: nothing differs from what the stack's resources made there."""

from cli.running.drift import differences
from cli.running.ssh import Unreachable
from cli.running.stack import Failed, RunningStack


def is_as_made(running: RunningStack, host: str) -> str:
    """Files, services, mounts and the engine's options of a host are as they were made."""
    parts = [part for part in running.desired if part.host == host]
    found = differences(parts)[host]
    if isinstance(found, Unreachable):
        raise Failed(f"it could not be compared: {found}")
    if found:
        raise Failed("; ".join(item.text for item in found))
    return f"{sum(len(part.made) for part in parts)} things compared"
