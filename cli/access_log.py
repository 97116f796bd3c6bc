"""The proxies' access log: one JSON object a request. Pure functions."""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

from cli.errors import CommandError

Source = TypeVar("Source")


def filter_of(status: str) -> re.Pattern[str] | None:
    """What a status has to match; None for every status.

    Args:
        status: statuses and classes of them, such as `404,5xx`; empty for all.

    Raises:
        CommandError: it is neither.

    """
    if not status:
        return None
    parts = status.lower().split(",")
    if not all(re.fullmatch("[1-5]([0-9]{2}|[0-9]x|xx)", part) for part in parts):
        raise CommandError(
            f"--status {status}: neither a status nor a class of them",
            "For example: --status 5xx, or --status 404,5xx",
            status=2,
        )
    return re.compile("|".join(part.replace("x", "[0-9]") for part in parts))


def status_of(line: str) -> str:
    """The status of a line's request; empty for a line that is no request's."""
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    return str(entry.get("status", "")) if isinstance(entry, dict) else ""


def chosen(
    lines: Iterable[tuple[Source, str]], wanted: re.Pattern[str], tail: str | None
) -> Iterator[tuple[Source, str]]:
    """The lines with such a status.

    Args:
        lines: each with where it comes from.
        wanted: what the status has to match.
        tail: how many of the last ones; `all`, or None for each as it comes.

    """
    found = ((source, line) for source, line in lines if wanted.fullmatch(status_of(line)))
    return iter(deque(found, maxlen=int(tail))) if tail not in {None, "all"} else found
