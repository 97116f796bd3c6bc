"""What people see. Progress and warnings go to standard error, results to standard output.

Where there is no terminal, or `NO_COLOR` is set, everything is plain text; Rich is only imported where there is one.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from cli.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console


def is_rich(stream: TextIO) -> bool:
    """Whether a stream can show colours and frames."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "") != "dumb"


def is_interactive() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    return Console(file=stream, highlight=False)


def _print(text: str, stream: TextIO, style: str) -> None:
    if style and is_rich(stream):
        from rich.text import Text

        _console(stream).print(Text(text, style=style), soft_wrap=True)
    else:
        print(text, file=stream, flush=True)


def warm_up() -> None:
    """Import what the result at the end needs, while there is nothing else to do."""
    if is_rich(sys.stdout):
        import rich.panel
        import rich.table  # noqa: F401 - the import is the point


def say(text: str) -> None:
    """A step that was taken."""
    _print(text, sys.stderr, "")


def warn(text: str) -> None:
    """Something that people should know but that stops nothing."""
    _print(text, sys.stderr, "yellow")


def error(text: str, remedy: str = "") -> None:
    """Why the command stops, and what to do about it."""
    _print(f"error: {text}", sys.stderr, "bold red")
    if remedy:
        _print(remedy, sys.stderr, "")


def confirm(question: str, *, remedy: str) -> None:
    """Ask, and go on only after a yes.

    Raises:
        CommandError: nobody is there to answer (status 2), or the answer was no (status 1).

    """
    if not is_interactive():
        raise CommandError("this needs a confirmation, and there is no terminal to ask on", remedy, status=2)
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("declined: nothing was changed", status=1)


def facts(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """A result as labelled lines: a panel on a terminal, `label: value` elsewhere. Empty values are left out."""
    shown = [(label, value) for label, value in rows if value]
    if is_rich(sys.stdout):
        from rich.box import HORIZONTALS  # without sides, so that what is to be copied can be
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        for label, value in shown:
            grid.add_row(Text(label), Text(value))  # not as markup: addresses have brackets
        _console(sys.stdout).print(
            Panel(grid, title=title, title_align="left", expand=False, box=HORIZONTALS)
        )
        return
    print(title)
    for label, value in shown:
        first, *rest = value.splitlines()
        print(f"  {label}: {first}")
        for line in rest:
            print(f"  {' ' * len(label)}  {line}")
    sys.stdout.flush()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A result as a table: framed on a terminal, columns separated by two spaces elsewhere."""
    cells = [list(row) for row in rows]
    if is_rich(sys.stdout):
        from rich.table import Table
        from rich.text import Text

        framed = Table(title=title, title_justify="left")
        for column in columns:
            framed.add_column(column, overflow="fold")
        styles = {"ok": "green", "FAILED": "bold red"}
        for row in cells:
            framed.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
        _console(sys.stdout).print(framed)
        return
    widths = [max(len(row[index]) for row in [list(columns), *cells]) for index in range(len(columns))]
    for row in [list(columns), *cells]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())
    sys.stdout.flush()
