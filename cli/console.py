"""Output on the terminal. Progress and warnings go to standard error, results to standard output.

Without a terminal, or with `NO_COLOR` set, everything is plain text, and Rich is not imported.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from cli.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console


def is_rich(stream: TextIO) -> bool:
    """Whether a stream shows colours and frames."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "") != "dumb"


def is_interactive() -> bool:
    """Whether a person can answer a question."""
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
    """Import what printing the result needs, while the command waits for something else."""
    if is_rich(sys.stdout):
        import rich.panel
        import rich.table  # noqa: F401 - the import is the point


def say(text: str) -> None:
    """Print a step that was done."""
    _print(text, sys.stderr, "")


def warn(text: str) -> None:
    """Print a warning. The command goes on."""
    _print(text, sys.stderr, "yellow")


def error(text: str, remedy: str = "") -> None:
    """Print why the command stops, and the remedy."""
    _print(f"error: {text}", sys.stderr, "bold red")
    if remedy:
        _print(remedy, sys.stderr, "")


def confirm(question: str, *, remedy: str) -> None:
    """Ask a question, and return only after a yes.

    Raises:
        CommandError: the answer was no (status 1), or there is no terminal (status 2).

    """
    if not is_interactive():
        raise CommandError(
            "this needs a confirmation, and there is no terminal to ask for it", remedy, status=2
        )
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("declined: nothing was changed", status=1)


def facts(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Print a result as labelled lines: a panel on a terminal, else `label: value`. Empty values are left out."""
    shown = [(label, value) for label, value in rows if value]
    if is_rich(sys.stdout):
        from rich.box import HORIZONTALS  # without vertical lines, so that values can be copied
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
    """Print a result as a table: framed on a terminal, else with columns two spaces apart."""
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


def width() -> int:
    """Columns of the terminal; without one, wide enough for every line."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000


def lines(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Print lines that begin with a word of at most 7 characters, which has a colour, or with none. None is broken."""
    print(title)
    for word, text in rows:
        if word and is_rich(sys.stdout):
            from rich.text import Text

            style = {"ok": "green", "warning": "yellow", "FAILED": "bold red"}.get(word, "")
            _console(sys.stdout).print(Text.assemble((f"{word:<8}", style), text), soft_wrap=True)
        else:
            print(f"{word:<8}{text}")
    sys.stdout.flush()
