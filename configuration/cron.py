"""Schedules in cron's syntax, and the same for systemd's timers. Pure functions."""

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
"""systemd's words for the days of a week, by cron's numbers; 7 is Sunday, too."""
WEEKDAYS = {name.lower(): number for number, name in enumerate(DAYS)}
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class InvalidSchedule(Exception):
    """A text that is no schedule; what is wrong with it."""


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: Mapping[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of the month", 1, 31, {}),
    _Field("month", 1, 12, MONTHS),
    _Field("day of the week", 0, 7, WEEKDAYS),
)


def calendars(schedule: str) -> list[str]:
    """The times of a schedule as systemd's calendar events, without a time zone; one, or two.

    As in cron, a day of the month and a day of the week that are both given mean days that are one or the other.

    Raises:
        InvalidSchedule: it is none, or never comes.
    """
    words = MACROS.get(schedule.strip(), schedule).split()
    if len(words) != len(_FIELDS):
        raise InvalidSchedule(f"{len(words)} fields in place of 5" if words else "empty")
    minutes, hours, days, months, weekdays = (
        _numbers(word, field) for word, field in zip(words, _FIELDS, strict=True)
    )
    if days and not any(day <= LONGEST_MONTHS[month - 1] for month in months or range(1, 13) for day in days):
        raise InvalidSchedule("no such day in these months, so it never comes")
    named = sorted({number % 7 for number in weekdays or ()})
    week = ",".join(DAYS[number] for number in named) + " " if named else ""
    at = f"{_listed(hours)}:{_listed(minutes)}:00"
    if days and named and not words[2].startswith("*") and not words[4].startswith("*"):
        return [f"*-{_listed(months)}-{_listed(days)} {at}", f"{week}*-{_listed(months)}-* {at}"]
    return [f"{week}*-{_listed(months)}-{_listed(days)} {at}"]


def _listed(numbers: list[int] | None) -> str:
    return ",".join(f"{number:02}" for number in numbers) if numbers else "*"


def _numbers(text: str, field: _Field) -> list[int] | None:
    """The numbers that a field means; None for all."""
    if text == "*":
        return None
    found: set[int] = set()
    for part in text.lower().split(","):
        match = re.fullmatch(
            r"(?:(\*)|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?", part
        )
        if match is None:
            raise InvalidSchedule(f"the {field.name} {text}")
        star, first, last, step = match.groups()
        low, high = field.low, field.high
        if not star:
            low = _number(first, field)
            high = _number(last, field) if last else field.high if step else low
        if low > high or (step and not int(step)):
            raise InvalidSchedule(f"the {field.name} {text}")
        found.update(range(low, high + 1, int(step or 1)))
    return sorted(found)


def _number(text: str, field: _Field) -> int:
    number = int(text) if text.isdecimal() else field.words.get(text, -1)
    if not field.low <= number <= field.high:
        raise InvalidSchedule(f"the {field.name} {text}, which is not from {field.low} to {field.high}")
    return number
