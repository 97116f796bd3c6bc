"""Output on the terminal. Progress and warnings go to standard error, results to standard output.

Without a terminal, or with `NO_COLOR` set, everything is plain text, and Rich is not imported.
"""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from cli.errors import CommandError
from cli.text import clean, clean_cell

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
    text = clean(text)
    if stream.isatty():
        text = "\n".join(wrapped(line) for line in text.split("\n"))
    if style and is_rich(stream):
        from rich.text import Text

        _console(stream).print(Text(text, style=style), soft_wrap=True)
    else:
        print(text, file=stream, flush=True)


_COMMAND = re.compile(r"`[^`]*`|\./slip(?: -{0,2}[\w./:=-]+)*")
_BLANK = "\N{NO-BREAK SPACE}"


def wrapped(line: str, *, indent: int = 2) -> str:
    """A line broken between words where the terminal ends. A command is not broken, nor is a quoted log line.

    The terminal itself would break in the middle of a word.

    Args:
        line: one line. Its continuation is indented like it, and by `indent` more columns.
        indent: columns.

    """
    columns = shutil.get_terminal_size().columns
    text = line.lstrip(" ")
    if len(line) <= columns or text.startswith("| "):
        return line
    margin = " " * (len(line) - len(text))
    whole = _COMMAND.sub(lambda command: command[0].replace(" ", _BLANK), text)
    return textwrap.fill(
        whole,
        columns,
        initial_indent=margin,
        subsequent_indent=margin + " " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    ).replace(_BLANK, " ")


def warm_up() -> None:
    """Import what printing the result needs, while the command waits for something else."""
    if is_rich(sys.stdout):
        import rich.text  # noqa: F401 - the import is the point


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


def result(text: str, *, bold: int = 0) -> None:
    """Print a line of the command's result; on a terminal, its first `bold` characters are bold."""
    text = clean(text)
    if sys.stdout.isatty():
        text = wrapped(text)
    if bold and is_rich(sys.stdout):
        text = f"\x1b[1m{text[:bold]}\x1b[0m{text[bold:]}"
    print(text, flush=True)


def unconfirmed(what: str, remedy: str) -> CommandError:
    """The error of a command that needs a confirmation, where there is no terminal. It has changed nothing."""
    return CommandError(f"{what} needs a confirmation, and there is no terminal to ask for it", remedy)


def confirm(question: str, *, remedy: str) -> None:
    """Ask a question, and return only after a yes.

    Raises:
        CommandError: the answer was no (status 1), or there is no terminal (status 3).

    """
    if not is_interactive():
        raise unconfirmed("this", remedy)
    print(f"{clean(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("declined: nothing was changed", status=1)


def ask(question: str, default: str) -> str:
    """Ask a person for a value; only with a terminal. Return takes the default, if there is one."""
    print(f"{question}{f' [{default}]' if default else ''} ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() or default


def facts(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Print a result as labelled lines: framed on a terminal, else `label: value`. Empty values are left out."""
    shown = [(label, clean(value)) for label, value in rows if value]
    if sys.stdout.isatty():
        _framed(title, shown)
        return
    print(title)
    for label, value in shown:
        first, *rest = value.splitlines()
        print(f"  {label}: {first}")
        for line in rest:
            print(f"  {' ' * len(label)}  {line}")
    sys.stdout.flush()


def _framed(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Labelled lines between two rules, without vertical lines, so that values can be copied.

    A value that does not fit beside its label is below it, so that a command stays whole at 60 columns.
    """
    columns = shutil.get_terminal_size().columns
    lines = [line for _, value in rows for line in value.splitlines()]
    beside = max((len(label) for label, _ in rows), default=0) + 4
    length = min(columns, max(len(title) + 4, beside + max(map(len, lines), default=0)))
    bold, plain = ("\x1b[1m", "\x1b[0m") if is_rich(sys.stdout) else ("", "")
    print(f"─ {bold}{title}{plain} {'─' * max(1, length - len(title) - 3)}")
    for label, value in rows:
        first, *more = value.splitlines()
        if max(map(len, (first, *more))) + beside <= columns:
            print(f"  {bold}{label:<{beside - 4}}{plain}  {first}")
            print("".join(f"{' ' * beside}{line}\n" for line in more), end="")
        else:
            print(f"  {bold}{label}{plain}")
            print("".join(f"{wrapped(f'    {line}')}\n" for line in (first, *more)), end="")
    print("─" * length, flush=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a result as a table: framed on a terminal, else with columns two spaces apart."""
    cells = [[clean_cell(cell) for cell in row] for row in rows]
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


def lines(title: str, content: Iterable[tuple[str, str]]) -> None:
    """Print a title, and lines as `rows` does."""
    print(title)
    rows(content)


def rows(content: Iterable[tuple[str, str]]) -> None:
    """Print lines that begin with a word of at most 7 characters, which has a colour, or with none. None is broken."""
    for word, text in ((word, clean(text)) for word, text in content):
        if word and is_rich(sys.stdout):
            from rich.text import Text

            style = {"ok": "green", "warning": "yellow", "FAILED": "bold red"}.get(word, "")
            _console(sys.stdout).print(Text.assemble((f"{word:<8}", style), text), soft_wrap=True)
        else:
            print(f"{word:<8}{text}")
    sys.stdout.flush()
