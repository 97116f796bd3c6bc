"""A service that gave no answer any more and was restarted for it, as its host says it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cli.text import age

RECENT = timedelta(hours=1)
"""Twice the longest time between two restarts of a service that hangs again and again."""
REMEMBERED = timedelta(days=1)
"""For so long one restart is told."""


@dataclass(frozen=True)
class Hang:
    """How a service on a host hangs, or hung."""

    restarts: int
    """How often it was restarted for it, each time within ten minutes; 0 if never."""
    restarted: datetime | None
    """When it was restarted last; None if never."""
    is_now: bool
    """Whether it gives no answer now."""
    reason: str
    """What it does instead, such as `/up takes more than 5 s`."""

    def is_well(self, now: datetime) -> bool:
        """Whether it answers, and did not hang several times in a row."""
        return not self.is_now and (self.restarts < 2 or not self._within(RECENT, now))

    def told(self, now: datetime) -> str:
        """What is to be said of it, as a clause; empty if it is long ago."""
        restarted = ""
        if self.restarted and (self.is_now or self._within(REMEMBERED, now)):
            often = f"{self.restarts} times in a row, last " if self.restarts > 1 else ""
            restarted = f"restarted {often}{age(self.restarted.isoformat(), now)} ago"
        if self.is_now:
            return f"hangs: {self.reason}{f'; {restarted}' if restarted else ''}"
        return f"hung and was {restarted}: {self.reason}" if restarted else ""

    def _within(self, span: timedelta, now: datetime) -> bool:
        return self.restarted is not None and now - self.restarted < span


def hang(row: list[str]) -> Hang:
    """A service's by the fields of a line of scripts/report.sh: count, last restart, whether it is so now, reason."""
    count, restarted, is_now, reason = [*row, *([""] * 4)][:4]
    moment = int(restarted) if restarted.isdecimal() else 0
    return Hang(
        restarts=int(count) if count.isdecimal() else 0,
        restarted=datetime.fromtimestamp(moment, UTC) if moment else None,
        is_now=is_now == "yes",
        reason=reason,
    )
