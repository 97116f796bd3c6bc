"""What is known of a review environment beside its state: when its time is over, and its ports.

It is kept in a tag of the stack, so that every clone with the backend reads the same. Pure functions.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cli.errors import CommandError
from cli.text import first_line

TAG = "slipway:review"
"""The stack's tag with the record."""
FORMAT = "%Y-%m-%dT%H:%M:%SZ"
"""How a time is written, in UTC."""
CLOSING = datetime(1970, 1, 1, tzinfo=UTC)
"""The end of the time of an environment that is being removed, so that the next sweep goes on with that."""
LONGEST = timedelta(days=365)

_NUMBER = "[1-9][0-9]{0,8}"
_STACK = re.compile(f"pr-({_NUMBER})")
_TTL = re.compile(r"([0-9]{1,6})(m|h|d|w)")
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_RECORD = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?:portOffset=(\d{1,5})|hostsOf=([a-z0-9-]{1,63}) slot=(\d{1,3}))",
    re.ASCII,
)


def number(text: str) -> int:
    """The number of a pull request. It becomes a part of names, so nothing but digits is taken.

    Raises:
        CommandError: it is none.

    """
    if not re.fullmatch(_NUMBER, text):
        raise CommandError(
            f"'{first_line(text)}' is not the number of a pull request",
            "Use digits only, such as `./slip review open 582`.",
            status=2,
        )
    return int(text)


def ttl(text: str) -> timedelta:
    """A time such as `3d`: minutes, hours, days or weeks, from a minute to a year.

    Raises:
        CommandError: it is none.

    """
    found = _TTL.fullmatch(text)
    length = int(found[1]) * _UNITS[found[2]] if found else timedelta()
    if not timedelta() < length <= LONGEST:
        raise CommandError(
            f"--ttl {first_line(text)}: not a time from a minute to a year",
            "Use a number with m, h, d or w, such as 12h or 3d.",
            status=2,
        )
    return length


def stack_of(pull_request: int) -> str:
    """The name of a review environment's stack."""
    return f"pr-{pull_request}"


def pull_request_of(stack: str) -> int | None:
    """The pull request of a stack with the name of a review environment; None for any other name."""
    found = _STACK.fullmatch(stack)
    return int(found[1]) if found else None


@dataclass(frozen=True)
class Record:
    """What is known of a review environment."""

    until: datetime
    """When its time is over."""
    port_offset: int = 0
    """What its ports have been moved by."""
    hosts_of: str = ""
    """The stack on whose hosts it is; empty if it has hosts of its own."""
    slot: int = 0
    """Which of that stack's guests it is."""

    @classmethod
    def parse(cls, text: str) -> "Record | None":
        """The record that a tag has; None if it is none."""
        found = _RECORD.fullmatch(text)
        until = moment(found[1]) if found else None
        if not found or not until:
            return None
        return cls(until, int(found[2])) if found[2] else cls(until, hosts_of=found[3], slot=int(found[4]))

    def __str__(self) -> str:
        """The text of the tag."""
        where = (
            f"hostsOf={self.hosts_of} slot={self.slot}" if self.hosts_of else f"portOffset={self.port_offset}"
        )
        return f"{self.until:{FORMAT}} {where}"

    def is_over(self, now: datetime) -> bool:
        """Whether the environment's time is over."""
        return self.until <= now


def moment(text: object) -> datetime | None:
    """A time as it is written here; None if it is none."""
    try:
        return datetime.strptime(str(text), FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
