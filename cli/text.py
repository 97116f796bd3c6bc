"""How values read in a table or a sentence: sizes, ages, tags, revisions. Pure functions."""

from collections.abc import Sequence
from datetime import UTC, datetime

TAGS_SHOWN = 3
"""How many tags of an image a table's cell shows where there are many."""

LINE_LENGTH = 100
"""Characters of a quoted line."""


def first_line(text: str) -> str:
    """The first line of a text, at most `LINE_LENGTH` characters of it."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"


def first_tags(tags: Sequence[str]) -> str:
    """Tags in a table's cell: all of a few, or the first of many and the number of the others."""
    if len(tags) <= TAGS_SHOWN + 1:
        return ", ".join(tags) or "-"
    return f"{', '.join(tags[:TAGS_SHOWN])} and {len(tags) - TAGS_SHOWN} more"


def size(count: int) -> str:
    """A number of bytes in powers of ten, as `docker images` prints it: `12.3 MB`."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:  # what rounds to 1000 belongs to the next unit
        value /= 1000
        del units[0]
    digits = 0 if units[0] == "B" or value >= 99.95 else 1
    return f"{value:.{digits}f} {units[0]}"


def age(created: str, now: datetime) -> str:
    """How long ago a time (RFC 3339) was, in its largest whole unit: `5 min`. Empty for an invalid time."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return ""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def short_revision(revision: str) -> str:
    """A commit shortened to twelve digits; a suffix after a hyphen, such as `-dirty`, is kept."""
    commit, hyphen, rest = revision.partition("-")
    return f"{commit[:12]}{hyphen}{rest}"


def short_digest(digest: str) -> str:
    """A digest shortened to twelve hexadecimal digits: `sha256:0123456789ab`."""
    algorithm, colon, digits = digest.partition(":")
    return f"{algorithm}{colon}{digits[:12]}"
