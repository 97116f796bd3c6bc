"""What a check of `slip verify` finds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """The result of one check on one subject."""

    check: str
    subject: str
    passed: bool
    detail: str
    """What was found."""
    seconds: float = 0.0
    warned: bool = False
    """Whether the check passed with a warning."""
    remedy: str = ""
    """The command that mends it, if it failed."""
    skipped: bool = False
    """Whether the check did not run, since what it needs gives no answer. It has not passed then."""


class Warned(str):
    """What a check found that passes, but will fail soon, or is allowed for trying out only."""


def host_of(subject: str) -> str:
    """The host in a check's subject: `web-1`, or the last part of `web on web-1`."""
    return subject.rpartition(" ")[2]
