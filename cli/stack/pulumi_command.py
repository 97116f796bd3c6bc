"""The Pulumi CLI: run with the user's terminal, or run for its answer."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from cli.errors import CommandError

CANCELLED = 8
"""Pulumi's exit status after an interrupt that it could still answer; it does not always use it."""


@dataclass(frozen=True)
class PulumiCommand:
    """A Pulumi CLI, with the project and the environment that it runs in."""

    executable: Path
    directory: Path
    """Where the project is."""
    variables: Mapping[str, str]
    """The whole environment of the CLI."""

    def read(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that asks nothing, and return what it printed.

        What is secret goes in by `stdin` and comes out of the return value; it is never an argument.

        Raises:
            CommandError: the command failed; with what Pulumi said.

        """
        result = self.attempt(*arguments, stdin=stdin)
        if result.returncode:
            # No arguments that could be long, and nothing of stdin or stdout: those hold secrets.
            said = _last_error(result.stderr) or f"it ended with status {result.returncode}"
            raise CommandError(f"pulumi {' '.join(arguments[:2])}: {said}", status=1)
        return result.stdout

    def attempt(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command that asks nothing and may fail."""
        return subprocess.run(
            [str(self.executable), *arguments, "--non-interactive", "--color", "never"],
            cwd=self.directory,
            env=dict(self.variables),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            check=False,
        )

    def attach(self, arguments: Sequence[str], started: Callable[[int], None] = lambda _: None) -> int:
        """Run a command with the user's terminal, and return its exit status when it has ended.

        An interrupt reaches the CLI from the terminal itself; we wait for its orderly end. SIGTERM and SIGHUP are
        passed on as an interrupt, which the CLI answers by finishing what it has begun. If it fails after one of these,
        the status is CANCELLED; if it was killed, the signal's number, negative.

        Args:
            arguments: what to run.
            started: called once with the CLI's process id.

        """
        received: list[int] = []
        process: subprocess.Popen[bytes] | None = None

        def note(number: int, _frame: FrameType | None) -> None:
            received.append(number)
            if number != signal.SIGINT and process:
                process.send_signal(signal.SIGINT)

        # A handler, not SIG_IGN: the CLI would inherit that, and never hear of an interrupt.
        before = {
            number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            process = subprocess.Popen(
                [str(self.executable), *arguments], cwd=self.directory, env=dict(self.variables)
            )
            started(process.pid)
            status = process.wait()
            return CANCELLED if received and status > 0 else status
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _last_error(stderr: str) -> str:
    """The CLI's last error, which is the one that ended it, with what follows it."""
    lines = stderr.strip().splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("error: ")]
    return "\n".join(lines[starts[-1] :]).removeprefix("error: ") if starts else "\n".join(lines[-3:])


def search_path(*entries: str) -> str:
    """A PATH from several, each directory once, the first place wins."""
    return os.pathsep.join(
        dict.fromkeys(part for entry in entries for part in entry.split(os.pathsep) if part)
    )
