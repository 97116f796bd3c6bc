"""The Pulumi CLI, run with the user's terminal or for its output."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import IO

import parent_death
from cli.errors import CommandError
from cli.stack.pulumi_errors import last_error, trouble

CANCELLED = 8
"""Pulumi's exit status after an orderly end by an interrupt; Pulumi does not always use it."""

_QUIET = ("--non-interactive", "--color", "never")
_ALLOWS_EVENT_LOG = {"PULUMI_DEBUG_COMMANDS": "true"}
"""Without it, the CLI has no option --event-log."""


@dataclass(frozen=True)
class PulumiCommand:
    """A Pulumi CLI with its project and environment."""

    executable: Path
    directory: Path
    """The project's directory."""
    variables: Mapping[str, str]
    """The whole environment of the CLI."""

    def read(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a non-interactive command and return its standard output.

        Secrets go in by `stdin` and come out in the return value; they are never arguments.

        Raises:
            CommandError: the command failed; the message has Pulumi's error.

        """
        result = self.attempt(*arguments, stdin=stdin)
        if result.returncode:
            # Only the first arguments, which are short, and nothing of stdin and stdout, which may have secrets.
            said = last_error(result.stderr) or f"it ended with status {result.returncode}"
            if known := trouble(said, _stack_in(arguments)):
                raise CommandError(known.reason, known.remedy)
            raise CommandError(f"pulumi {' '.join(arguments[:2])}: {said}", status=1)
        return result.stdout

    def attempt(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a non-interactive command that may fail."""
        return subprocess.run(
            [str(self.executable), *arguments, "--non-interactive", "--color", "never"],
            cwd=self.directory,
            env=dict(self.variables),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            check=False,
        )

    def attach(
        self,
        arguments: Sequence[str],
        started: Callable[[int], None] = lambda _: None,
        *,
        events: int | None = None,
        errors: IO[bytes] | None = None,
        interrupted: Callable[[], None] = lambda: None,
        log_folder: Path | None = None,
    ) -> int:
        """Run a command with the user's terminal, wait for its end, and return its exit status.

        An interrupt reaches the CLI from the terminal. SIGTERM and SIGHUP are passed on as an interrupt, after which
        the CLI finishes the operations that it has begun; so it does if this process is killed.
        After one of these signals the status is CANCELLED, also if the CLI had nothing left to do: a script must not
        go on. If it was killed, the status is the signal's number, negative.

        Args:
            arguments: the command's arguments.
            started: called once with the CLI's process id.
            events: the descriptor of an open file for the engine's events.
            errors: gets the CLI's standard error. The CLI then has no terminal: it asks nothing and prints nothing.
            interrupted: called at the first of these signals.
            log_folder: where the CLI writes its own log, which nobody else can read then.

        """
        received: list[int] = []
        process: subprocess.Popen[bytes] | None = None

        def note(number: int, _frame: FrameType | None) -> None:
            received.append(number)
            if len(received) == 1:
                interrupted()
            if number != signal.SIGINT and process:
                process.send_signal(signal.SIGINT)

        # A handler instead of SIG_IGN, which the CLI would inherit, and then ignore interrupts.
        before = {
            number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            process = subprocess.Popen(
                [str(self.executable), *arguments, *_log_options(events), *(_QUIET if errors else ())],
                cwd=self.directory,
                env={
                    **self.variables,
                    **({} if events is None else _ALLOWS_EVENT_LOG),
                    # The logging library of the CLI and of plugins writes to the folder of temporary files.
                    **({"TMPDIR": str(log_folder)} if log_folder else {}),
                },
                stdin=subprocess.DEVNULL if errors else None,
                # Not a pipe: if this process is killed, the CLI must be able to go on.
                stdout=subprocess.DEVNULL if errors else None,
                stderr=errors,
                pass_fds=() if events is None else (events,),
                umask=0o077 if log_folder else -1,
                preexec_fn=parent_death.ends_with_parent(signal.SIGINT),  # noqa: PLW1509 - no thread runs yet
            )
            started(process.pid)
            status = process.wait()
            # An interrupt kills a CLI that has just started.
            return CANCELLED if received and (status >= 0 or status == -signal.SIGINT) else status
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _log_options(events: int | None) -> list[str]:
    """The options for an event log in an open file, which the CLI opens once more by its descriptor."""
    return [] if events is None else ["--event-log", f"/dev/fd/{events}"]


def _stack_in(arguments: Sequence[str]) -> str:
    """The stack that a command names."""
    return next((value for option, value in pairwise(arguments) if option == "--stack"), "")


def search_path(*entries: str) -> str:
    """Several PATHs as one, with each directory once, at its first place."""
    return os.pathsep.join(
        dict.fromkeys(part for entry in entries for part in entry.split(os.pathsep) if part)
    )
