"""Progress on the terminal: one line for each step, with its result and its duration."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

PATIENCE = 10.0
"""Without a terminal: seconds after which a line says which step is still running."""


class Step:
    """A step that is running."""

    def __init__(self, title: str, detail: str) -> None:
        self.title = title
        self.detail = detail
        """What the step does, such as "building it from source, about 4 minutes". `say` changes it."""
        self.result = ""
        """What the step did, for the final line; `detail` if empty."""

    def say(self, detail: str) -> None:
        """Change the live line's text."""
        self.detail = detail

    def done(self, result: str) -> None:
        """Set the final line's text."""
        self.result = result


class Report:
    """Prints the steps' lines. Several threads may use it. It imports `rich` at the first step."""

    def __init__(self, console: "Console | None" = None) -> None:
        """`console` is by default on standard error: standard output is for the command's result."""
        self._console = console
        self._guard = threading.Lock()
        self._progress: Progress | None = None
        self._live = 0

    @property
    def console(self) -> "Console":
        """The console that prints the lines."""
        with self._guard:
            if self._console is None:
                from rich.console import Console

                self._console = Console(file=sys.stderr, highlight=False)
            return self._console

    def say(self, text: str) -> None:
        """Print a line outside of the steps."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def step(self, title: str, detail: str) -> Iterator[Step]:
        """Show a step while the block runs, and a final line at its end."""
        step = Step(title, detail)
        started = time.monotonic()
        show = self._spin if self.console.is_terminal else self._wait
        try:
            with show(step):
                yield step
        except BaseException as error:
            if isinstance(error, Exception) and type(error).__name__ != "Cancelled":
                self._line("✗", step, f"failed: {step.detail}", time.monotonic() - started)
            raise
        self._line("✓", step, step.result or step.detail, time.monotonic() - started)

    def _line(self, mark: str, step: Step, text: str, seconds: float) -> None:
        from rich.text import Text

        line = Text(f"{mark} ", style="green" if mark == "✓" else "red")
        line.append(f"{step.title:<18} ", style="bold")
        line.append(text, style="default not bold")
        line.append(f"  {duration(seconds)}", style="dim not bold")
        self.console.print(line, soft_wrap=True)

    @contextlib.contextmanager
    def _spin(self, step: Step) -> Iterator[None]:
        """Show a live line with a running clock, below the final lines."""
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = self.console
        with self._guard:
            if self._progress is None:
                self._progress = Progress(
                    SpinnerColumn(),
                    TextColumn("[bold]{task.fields[step].title:<18}[/] {task.fields[step].detail}"),
                    TimeElapsedColumn(),
                    console=console,
                    transient=True,
                )
            progress = self._progress
            self._live += 1
            if self._live == 1:
                progress.start()
            task = progress.add_task("", total=None, step=step)
        try:
            yield
        finally:
            with self._guard:
                progress.remove_task(task)
                self._live -= 1
                if self._live == 0:
                    progress.stop()

    @contextlib.contextmanager
    def _wait(self, step: Step) -> Iterator[None]:
        """Without a terminal: print a line if the step takes long, so that a log shows which step is running."""
        timer = threading.Timer(PATIENCE, lambda: self.say(f"… {step.title:<18} {step.detail}"))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def duration(seconds: float) -> str:
    """A time for people: `0.4 s`, `12 s`, `3 min 05 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"
