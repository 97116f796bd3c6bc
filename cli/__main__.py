"""`python -m cli`: what `./slip` runs."""

import contextlib
import errno
import io
import os
import sys
from typing import NoReturn

from cli.errors import INTERRUPTED, CommandError
from fast_start import collect_garbage_rarely, skip_garbage_collection

_REMEDIES = {
    errno.ENOSPC: "Make room there, and run the command again.",
    errno.EDQUOT: "Make room there, or have your quota raised, and run the command again.",
    errno.EROFS: "Make that file system writable, and run the command again.",
    errno.EMFILE: "Let your processes open more files, as by `ulimit -n 1024`, and run the command again.",
    errno.ENFILE: "End other programs, since this machine has no more open files to give, and run the command again.",
}
"""What to do about errors that are this machine's."""


def _open_streams() -> None:
    """Have /dev/null in place of closed standard streams: the next file that is opened would take their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The lowest number that is free.
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, opened == number)
            setattr(sys, name, open(opened, "w" if number else "r"))  # noqa: PTH123, SIM115 - for the process's life


def _up(stack: str | None = None) -> int:
    skip_garbage_collection()
    from cli.update.updates import Update, up

    return up(Update() if stack is None else Update(stack))


def main() -> int:
    """Run the command line. Returns the exit status."""
    _open_streams()
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
        collect_garbage_rarely()
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
    except OSError as error:
        if os.environ.get("SLIPWAY_DEBUG"):
            raise
        return _report(error)
    except Exception as error:  # SLIPWAY_DEBUG shows the stack trace
        if os.environ.get("SLIPWAY_DEBUG"):
            raise
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """Say an error that no part of the program expects, which need not be the program's."""
    from cli import console

    remedy = _REMEDIES.get(error.errno or 0) if isinstance(error, OSError) else None
    if isinstance(error, OSError) and remedy:
        console.error(f"{error.filename or 'what this command writes'}: {error.strerror}", remedy)
    else:
        console.error(
            f"{type(error).__name__}: {error}",
            "This is a bug in Slipway. SLIPWAY_DEBUG=1 shows the stack trace.",
        )
    return 1


def _flush(status: object) -> object:
    """Write what is left of the output. Returns the exit status: 1 instead of 0 if there is no room for it."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would fail once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 141
        return status or _report(error)
    return status


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
    _end(status if status == INTERRUPTED else _flush(status))
