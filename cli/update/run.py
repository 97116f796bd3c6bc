"""Runs a Pulumi command on a stack, and shows what happens in Slipway's words.

Pulumi's own display is for whoever asks for it (`SHOWS_ITSELF`). The words come from the engine's event log, which the
CLI writes in any case, so both kinds of run end in the same way.
"""

import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli import console
from cli.errors import CommandError
from cli.screen.events import Event, Log
from cli.screen.progress import Progress
from cli.screen.record import Record
from cli.screen.status_line import StatusLine
from cli.stack.pulumi_command import CANCELLED
from cli.stack.stack import Stack

PERIOD = 0.05
"""Seconds between two looks at the event log."""
EVENT_LOG = "--event-log"
SHOWS_ITSELF = frozenset(
    {
        *("--diff", "--json", "-j", "--debug", "-d", "--logtostderr", "-v", "--verbose", "--help", "-h"),
        *("--show-config", "--show-full-output", "--show-reads", "--show-replacement-steps", "--show-sames"),
        *("--urns", "--tracing", "--save-plan", "--import-file"),
    }
)
"""Options of Pulumi that ask for its own display."""


LOGS = ("-v", "--verbose", "--logflow")
"""Options of Pulumi that make it write a log of its own, with every secret in it."""


def shows_itself(options: Sequence[str]) -> bool:
    """Whether the options ask for Pulumi's own display."""
    return any(option.split("=", 1)[0] in SHOWS_ITSELF for option in options)


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    status: int
    """The CLI's exit status; CANCELLED after an interrupt; negative after a signal that killed it."""
    record: Record
    stderr: str
    """What the CLI wrote there; empty if it had the terminal."""
    seconds: float
    is_quiet: bool
    """Whether Pulumi's own display was off."""


def run(
    stack: Stack,
    command: str,
    options: Sequence[str],
    started: Callable[[int], None] = lambda _: None,
    *,
    quiet: bool = True,
    narrate: bool = True,
    warned: Collection[str] = (),
    heard: Callable[[Event], None] = lambda _: None,
) -> Run:
    """Run a Pulumi command on a stack.

    Args:
        stack: the stack.
        command: `up`, `preview` or `destroy`.
        options: Pulumi's options.
        started: called once with the CLI's process id.
        quiet: whether Pulumi's own display is off; otherwise it has the terminal, and may ask there.
        narrate: whether a quiet run shows each step; those of a preview are told at the end.
        warned: warnings that were shown before.
        heard: called with each event, in another thread.

    """
    own, path = _without_event_log(options)
    pids: list[int] = []

    def noted(pid: int) -> None:
        pids.append(pid)
        started(pid)

    def stop() -> None:
        # What it has begun on other hosts it ends as after Ctrl-C.
        if pids:
            with suppress(ProcessLookupError):
                os.kill(pids[0], signal.SIGINT)

    record, screen = Record(), StatusLine()
    progress = Progress(screen.show if narrate and quiet else lambda *_: None, warned)
    arguments = [command, "--stack", stack.name, "--suppress-outputs", *own]
    begun = time.monotonic()
    log_folder = _log_folder(stack, own)
    with _event_log(path) as events, tempfile.TemporaryFile() as errors:
        ended = threading.Event()
        follower = threading.Thread(
            target=_follow,
            args=(Log(events), record, progress, screen if quiet else None, ended, stop, heard),
            daemon=True,
        )
        follower.start()
        try:
            status = stack.pulumi.attach(
                arguments,
                noted,
                events=events,
                errors=errors if quiet else None,
                interrupted=lambda: _say_interrupted(screen) if quiet else None,
                log_folder=log_folder,
            )
        finally:
            ended.set()
            follower.join()
            screen.close()
            if log_folder:
                _tell_of_log(log_folder)
        errors.seek(0)
        stderr = errors.read().decode(errors="replace")
    if status > 0 and record.is_cancelled and not record.foreign_keys:
        # On a terminal, Pulumi's own display reads the key itself, so no signal comes.
        status = CANCELLED
    return Run(status, record, stderr, time.monotonic() - begun, quiet)


def _log_folder(stack: Stack, options: Sequence[str]) -> Path | None:
    """A new private folder for Pulumi's own log, if the options ask for one; else None."""
    wants_log = any(
        # Pulumi takes the number in the same word, too: -v9.
        option.split("=", 1)[0] in LOGS or re.fullmatch(r"-v\d+", option)
        for option in options
    )
    if not wants_log:
        return None
    logs = stack.project.private / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    logs.chmod(0o700)
    return Path(tempfile.mkdtemp(prefix=f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-", dir=logs))


def _tell_of_log(folder: Path) -> None:
    """Say where Pulumi's log is, and what is in it; a run that wrote none, with --logtostderr, leaves no folder."""
    with suppress(OSError):
        folder.rmdir()
        return
    console.warn(
        f"Pulumi's log in {folder} has the stack's keys and passwords in clear text. "
        "Only you can read it. Remove it once you have read it, and send it to nobody."
    )


def _say_interrupted(screen: StatusLine) -> None:
    screen.show("!", "interrupted", "waiting for what has begun; Ctrl-C again ends at once")


def _follow(
    log: Log,
    record: Record,
    progress: Progress,
    screen: StatusLine | None,
    ended: threading.Event,
    stop: Callable[[], None],
    heard: Callable[[Event], None],
) -> None:
    """Take the events as they come, until the CLI has ended.

    `stop` is called once if a host presents another SSH host key than the stack's: the plugin would dial for as long as
    the resource may take, and no answer can be the right one any more.
    """
    is_last = is_stopped = False
    while True:
        for event in log.read():
            record.take(event)
            progress.take(event)
            heard(event)
        if record.foreign_keys and not is_stopped:
            is_stopped = True
            stop()
        if is_last:
            return
        if screen and screen.is_live:
            screen.status(progress.current)
        elif screen:
            progress.tell_slow()
        is_last = ended.wait(PERIOD)  # after the end, read once more


@contextmanager
def _event_log(path: str) -> Iterator[int]:
    """The descriptor of an open file for the events: a file without a name, unless the user named one."""
    if not path:
        with tempfile.TemporaryFile() as file:
            yield file.fileno()
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CommandError(
            f"{EVENT_LOG} {path}: {error.strerror}", "Name a file that can be written.", status=2
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _without_event_log(options: Sequence[str]) -> tuple[list[str], str]:
    """The options without that of an event log, and the log's path; empty without one."""
    kept, path, words = [], "", iter(options)
    for word in words:
        if word == EVENT_LOG:
            path = next(words, "")
        elif word.startswith(f"{EVENT_LOG}="):
            path = word.partition("=")[2]
        else:
            kept.append(word)
    return kept, path
