"""How values read in a table or a sentence: sizes, ages, tags, revisions. Pure functions."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

TAGS_SHOWN = 3
"""How many tags of an image a table's cell shows where there are many."""

LINE_LENGTH = 100
"""Characters of a quoted line."""


_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
"""Colours and other looks of text (ECMA-48, SGR)."""
_HARMLESS_COLOUR = re.compile(
    r"\x1b\[(?:(?:0?[0-79]|2[1-79]|[34][0-79]|9[0-7]|10[0-7]|[34]8;5;\d{1,3}|[34]8;2(?:;\d{1,3}){3})(?:;(?=\d)|(?=m)))*m"
)
"""Those but the one that hides text."""
_LINE_END = re.compile(r"\r+(?=\n|\Z)")
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
"""Characters that a terminal obeys, or that change the order of others, and halves of characters; not the newline and
the tab."""


_USERINFO = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^\s/?#\"'`<>]+)@")
_SLASHED_PASSWORD = re.compile(r"(://)[^\s/:@\"'`<>]+:(?!\d+(?:[/?#\s]|$))[^\s@\"'`<>]*@")
_PARAMETER = re.compile(
    r"([?&;][\w.-]*(?:token|key|passw(?:or)?d|secret|sig|signature|credential)s?=)[^&;\s#\"'`<>]+",
    re.IGNORECASE,
)


def without_credentials(text: str) -> str:
    """A text without the passwords and tokens in its URLs: `https://…@host/path`. Who logs in by SSH key stays."""
    if "://" not in text:
        return text

    def cut(found: re.Match[str]) -> str:
        scheme, user = found.groups()
        return f"{scheme}{user}@" if "ssh" in scheme.lower() and ":" not in user else f"{scheme}…@"

    return _PARAMETER.sub(r"\1…", _SLASHED_PASSWORD.sub(r"\1…@", _USERINFO.sub(cut, text)))


def clean(text: str) -> str:
    """A text from elsewhere, as it may reach a terminal: control characters are shown as their numbers.

    It has no credentials in URLs, and no colours.

    A terminal obeys control characters: they overwrite lines, set the window's title, or answer on standard input.
    """
    text = without_credentials(text)
    if text.isascii() and text.isprintable():
        return text
    text = _LINE_END.sub("", _COLOUR.sub("", text))
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def clean_cell(text: str) -> str:
    """The same for a cell of a table, which is one line."""
    return clean(text).replace("\n", "\\n").replace("\t", " ")


def clean_log_line(line: str, *, colours: bool) -> str:
    """A line of a log, without what a terminal would obey; with its colours, if they are wanted. They end with it."""
    if not colours or "\x1b" not in line:
        return clean(line)
    parts, end = [], 0
    for found in _HARMLESS_COLOUR.finditer(line):
        parts += [clean(line[end : found.start()]), found[0]]
        end = found.end()
    return f"{''.join(parts)}{clean(line[end:])}\x1b[0m"


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
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = max(0, int((now - moment).total_seconds()))
    except (ValueError, OverflowError):
        return ""
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
