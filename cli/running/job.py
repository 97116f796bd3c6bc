"""A job on a host: a service that runs by a timer, as the host says it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from cli.text import age

RUNS = "running"
"""What the record of a run says until its end."""


@dataclass(frozen=True)
class Job:
    """A job's timer and its last run."""

    is_scheduled: bool
    """Whether its timer is active."""
    runs: bool
    """Whether a run is under way."""
    result: str
    """Of the last run: its exit status, `timeout`, `lost`, or `running`; empty if there was none yet."""
    started: datetime | None = None
    ended: datetime | None = None
    next: str = ""
    """When it runs next, as the host says it."""

    @property
    def is_well(self) -> bool:
        """Whether it will run, and its last run did not fail."""
        return self.is_scheduled and (self.runs or self.result in {"", "0"})

    def __str__(self) -> str:
        """Its last run, for people."""
        now = datetime.now(UTC)
        if self.runs:
            since = f" for {age(self.started.isoformat(), now)}" if self.started else ""
            return f"runs{since}"
        ended = f" {age(self.ended.isoformat(), now)} ago" if self.ended else ""
        last = {
            "": "has not run yet",
            "timeout": f"took too long and was ended{ended}",
            "lost": f"was killed{ended}",
            RUNS: "was interrupted",
        }.get(self.result, f"ended with status {self.result}{ended}")
        coming = f"next {self.next}" if self.next else "its timer is not active"
        return f"{last}; {coming}" if not self.is_scheduled or self.next else last


def job(row: list[str]) -> Job:
    """A job by the fields of a line of scripts/report.sh: timer, unit, result, start, end, next."""
    timer, unit, result, started, ended, coming = [*row, *([""] * 6)][:6]
    return Job(
        is_scheduled=timer == "active",
        runs=unit in {"activating", "active"},
        result=result,
        started=_moment(started),
        ended=_moment(ended),
        next=coming if timer == "active" else "",
    )


def _moment(text: str) -> datetime | None:
    return datetime.fromtimestamp(int(text), UTC) if text.isdecimal() and int(text) else None
