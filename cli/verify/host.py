"""The check of `slip verify` on the hosts: nothing differs from what the stack's resources made there."""

from cli.running.stack import Failed, RunningStack


def is_as_made(running: RunningStack, host: str) -> str:
    """Files, services, mounts and the engine's options of a host are as they were made."""
    report = running.reports[host]
    if report.not_compared:
        raise Failed(f"it could not be compared: {report.not_compared}")
    if report.differences:
        raise Failed("; ".join(item.text for item in report.differences))
    return f"{sum(len(part.made) for part in running.desired if part.host == host)} things compared"
