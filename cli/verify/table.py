"""How `slip verify` prints results: pure functions of the results and the terminal's width.

A failure is a block, with the command that mends it on a line of its own, which is never broken. What passed is a
table or, on a terminal that is too narrow for it, a block as well.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cli.verify.found import Result

INDENT = " " * 8
"""As wide as the longest verdict, `warning`, and a space."""


def verdict(row: Result) -> str:
    """`FAILED`, `warning` or `ok`."""
    if not row.passed:
        return "FAILED"
    return "warning" if row.warned else "ok"


@dataclass(frozen=True)
class Columns:
    """The columns of a table whose rows come one by one."""

    checks: int
    """Characters of the longest title of a check."""
    subjects: int
    """Characters of the longest subject that is known at first."""
    width: int
    """Columns of the terminal."""

    def lines(self, row: Result) -> list[tuple[str, str]]:
        """The lines of a row, as `lines` has them. A failure has no remedy yet: it comes once more in the end."""
        text = f"{row.check:<{self.checks}}  {row.subject:<{self.subjects}}  {row.detail}".rstrip()
        if row.passed and len(INDENT) + len(text) <= self.width:
            return [(verdict(row), text)]
        return list(_block(replace(row, remedy=""), self.width - len(INDENT)))


def lines(rows: Sequence[Result], width: int) -> list[tuple[str, str]]:
    """The lines of a table, each as its verdict, empty for a line that continues one, and the rest of the line.

    Args:
        rows: the results, in the order of the table.
        width: columns of the terminal.

    """
    passed = [row for row in rows if row.passed]
    checks = max((len(row.check) for row in passed), default=0)
    subjects = max((len(row.subject) for row in passed), default=0)
    details = max((len(row.detail) for row in passed), default=0)
    is_wide = len(INDENT) + checks + subjects + details + 4 <= width
    found: list[tuple[str, str]] = []
    for row in rows:
        if row.passed and is_wide:
            text = f"{row.check:<{checks}}  {row.subject:<{subjects}}  {row.detail}"
            found.append((verdict(row), text.rstrip()))
        else:
            found.extend(_block(row, width - len(INDENT)))
    return found


def _block(row: Result, width: int) -> Iterator[tuple[str, str]]:
    head, *rest = _wrapped(f"{row.check}: {row.subject}", width)
    yield verdict(row), head
    for line in (*rest, *_wrapped(row.detail, width)):
        yield "", line
    for line in row.remedy.splitlines():
        # A command, whole: to be copied.
        yield "", f"→ {line}"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False)
