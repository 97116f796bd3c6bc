"""The backups of a service on a host, as the host says it, and those of the state: the last one of each."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cli.text import age, size

DAY = timedelta(days=1)
SLACK = timedelta(hours=6)
"""How long one backup may take, before the next day's counts as missing."""


@dataclass(frozen=True)
class Backup:
    """The timer of a service's backups, and the last one."""

    is_scheduled: bool
    """Whether its timer is active."""
    runs: bool
    """Whether one is made now."""
    next: str
    """When the next one is made, as the host says it; empty if its timer is not active."""
    since: datetime | None
    """When backups were set up there."""
    status: str = ""
    """The exit status of the last one; empty if there was none yet."""
    ended: datetime | None = None
    """When the last one ended."""
    good: datetime | None = None
    """When one last succeeded."""
    failures: int = 0
    """How many have failed since."""
    bytes: int = 0
    """The size of the last good one."""
    said: str = ""
    """Why the last one failed, or what else is to be known of it."""

    def missed(self, now: datetime) -> int:
        """How many in a row have failed or were not made, as far as two."""
        last = self.good or self.since
        days = (now - last - SLACK) // DAY if last else 0
        return min(2, max(self.failures, days))

    def __str__(self) -> str:
        """The last one, for people."""
        now = datetime.now(UTC)
        parts = []
        if self.good:
            parts.append(f"{size(self.bytes)}, {age(self.good.isoformat(), now)} ago")
        else:
            parts.append("no backup yet")
        if self.failures:
            times = f"the last {self.failures} failed" if self.failures > 1 else "the last one failed"
            parts.append(f"{times}: {self.said}" if self.said else times)
        elif self.said:
            parts.append(self.said)
        parts.append(
            "one is being made"
            if self.runs
            else f"next {self.next}"
            if self.next
            else "its timer is not active"
        )
        return "; ".join(parts)


@dataclass(frozen=True)
class StateBackups:
    """The backups of a stack's state."""

    last: Callable[[], datetime | None]
    """Asks for the time of the last one; None if there is none. Raises CommandError if they cannot be read."""
    changed: datetime | None
    """When the state was last written; None if it does not say."""


def moment(text: str) -> datetime:
    """A time as restic and Pulumi write it, in UTC. Its seconds have nine digits behind the point."""
    whole, _, rest = text.partition(".")
    zone = rest.lstrip("0123456789")
    return datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).astimezone(UTC)


def backup(row: list[str]) -> Backup:
    """By the fields of a line of scripts/report.sh: timer, unit, next, set up, and those of the record of backup.sh."""
    timer, unit, coming, since, status, _, ended, good, failures, written, said = [*row, *([""] * 11)][:11]
    return Backup(
        is_scheduled=timer == "active",
        runs=unit in {"activating", "active"},
        next=coming if timer == "active" else "",
        since=_moment(since),
        status=status,
        ended=_moment(ended),
        good=_moment(good),
        failures=int(failures) if failures.isdecimal() else 0,
        bytes=int(written) if written.isdecimal() else 0,
        said=said,
    )


def _moment(text: str) -> datetime | None:
    return datetime.fromtimestamp(int(text), UTC) if text.isdecimal() and int(text) else None
