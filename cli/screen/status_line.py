"""The lines of a running command on the terminal, with a last line that says what is going on right now."""

import shutil
import sys
import threading

from cli import console
from cli.text import clean, clean_cell

TITLE = 18
"""Columns of the first part of a line, as in the toolchain's report."""
_STYLES = {"✓": "\x1b[32m", "✗": "\x1b[31m", "!": "\x1b[33m", "…": "\x1b[2m"}
_PLAIN, _BOLD, _CLEAR = "\x1b[0m", "\x1b[1m", "\r\x1b[K"


class StatusLine:
    """Prints lines on standard error. On a terminal, the status is below them; elsewhere there is none."""

    def __init__(self) -> None:
        self.is_live = console.is_rich(sys.stderr)
        """Whether there is a status."""
        self._status = ""
        # An interrupt may print while this thread prints.
        self._guard = threading.RLock()

    def show(self, mark: str, about: str, text: str) -> None:
        """Print a line."""
        about = clean_cell(about)
        first, *more = clean(text).splitlines() or [""]
        if not self.is_live:
            lines = [f"{mark} {about:<{TITLE}} {first}", *(f"  {line}" for line in more)]
            print("\n".join(lines), file=sys.stderr, flush=True)
            return
        plain = console.wrapped(f"{mark} {about:<{TITLE}} {first}", indent=4)
        head = f"{mark} {about}"
        if plain.startswith(head):
            plain = f"{_STYLES.get(mark, '')}{mark}{_PLAIN} {_BOLD}{about}{_PLAIN}{plain[len(head) :]}"
        with self._guard:
            self._write("\n".join([plain, *(console.wrapped(f"  {line}", indent=4) for line in more)]))

    def status(self, text: str) -> None:
        """Change what is going on right now."""
        if self.is_live:
            columns = shutil.get_terminal_size().columns
            line = f"… {clean_cell(text)}"
            line = line if len(line) < columns else f"{line[: columns - 2]}…"
            with self._guard:
                if line != self._status:
                    self._status = line
                    self._write()

    def close(self) -> None:
        """Remove the status."""
        with self._guard:
            if self._status:
                self._status = ""
                sys.stderr.write(_CLEAR)
                sys.stderr.flush()

    def _write(self, line: str | None = None) -> None:
        above = "" if line is None else f"{line}\n"
        dim = f"{_STYLES['…']}{self._status}{_PLAIN}" if self._status else ""
        sys.stderr.write(f"{_CLEAR}{above}{dim}")
        sys.stderr.flush()
