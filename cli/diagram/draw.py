"""`slip diagram`: asks the hosts, and writes the page."""

import sys
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cli import console
from cli.diagram.page import page
from cli.diagram.picture import Picture, State, picture
from cli.errors import CommandError
from cli.running import certificates, fleet
from cli.running.stack import Failed, RunningStack, running_of
from cli.stack.stack import Stack

AT_ONCE = 8
"""How many certificates are asked for at the same time."""


def run(stack: Stack, output: str, *, opens: bool) -> int:
    """Write the picture of a stack. Returns the exit status: 1 if something in it does not work, or is unknown.

    Args:
        stack: the stack.
        output: the page's file; `-` for standard output; empty for one in the clone's private folder.
        opens: whether the browser shows it.

    """
    running = running_of(stack)
    drawn = look(running)
    html = page(drawn)
    if output == "-":
        sys.stdout.write(html)
    else:
        path = Path(output) if output else stack.project.private / f"diagram-{stack.short_name}.html"
        _write(path, html)
        print(path)
        if opens:
            webbrowser.open(path.absolute().as_uri())
    for node in drawn.nodes:
        if node.state in {State.ILL, State.UNKNOWN}:
            console.warn(f"{node.name}: {'; '.join(node.lines)}")
    return 0 if drawn.is_well else 1


def look(running: RunningStack) -> Picture:
    """Ask the hosts and servers of a stack for what the picture shows."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        validities = pool.map(lambda subject: _validity(running, subject), certificates.subjects(running))
        running = replace(running, reports=fleet.ask(running.outputs))
        return picture(running, list(validities), datetime.now(UTC))


def _validity(running: RunningStack, subject: str) -> tuple[str, str, bool]:
    try:
        return subject, certificates.inspect(running, subject), True
    except (Failed, OSError) as error:
        return subject, str(error), False


def _write(path: Path, html: str) -> None:
    try:
        path.write_text(html)
    except OSError as error:
        raise CommandError(
            f"--output {path}: {error.strerror}",
            "Name a file in a folder that exists and that you may write.",
            status=2,
        ) from error
