"""`python -m cli`: what `./slip` runs."""

import contextlib
import io
import os
import sys
from typing import NoReturn

from cli.errors import INTERRUPTED, CommandError


def _up(stack: str | None = None) -> int:
    from cli.update.updates import Update, up
    from fast_start import skip_garbage_collection

    skip_garbage_collection()

    return up(Update() if stack is None else Update(stack))


def main() -> int:
    """Run the command line. Returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A language without the signs of our tables must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        match sys.argv[1:]:
            # The everyday command skips the parser, whose import takes a tenth of a second.
            case ["up"]:
                return _up()
            case ["up", "-s" | "--stack", str(name)] if not name.startswith("-"):
                return _up(name)
        from cli.app import app

        app(prog_name="slip")
    except CommandError as error:
        if os.environ.get("SLIPWAY_DEBUG"):
            raise
        from cli import console

        console.error(error.message, error.remedy)
        return error.status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of standard output has gone. Python would fail once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # SLIPWAY_DEBUG shows the stack trace
        if os.environ.get("SLIPWAY_DEBUG"):
            raise
        from cli import console

        console.error(
            f"{type(error).__name__}: {error}",
            "This is a bug in Slipway. SLIPWAY_DEBUG=1 shows the stack trace.",
        )
        return 1
    return 0


def _end(status: object) -> NoReturn:
    """End the process with an exit status."""
    if status == INTERRUPTED:
        # A thread that still prints holds the lock of standard output, and Python would abort when it closes that.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(INTERRUPTED)
    sys.exit(status)  # type: ignore[arg-type]  # what a SystemExit has


if __name__ == "__main__":
    try:
        status: object = main()
    except SystemExit as ended:
        status = ended.code
    _end(status)
