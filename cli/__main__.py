"""`python -m cli`, which is what `./slip` runs."""

import atexit
import gc
import os
import sys


def _up(stack: str | None = None) -> int:
    # It leaves no garbage worth looking for, least of all at its end.
    gc.disable()
    atexit.register(gc.freeze)
    from cli.update.updates import Update, up

    return up(Update() if stack is None else Update(stack))


def main() -> int:
    """Run the command line. Returns the exit status."""
    from cli.errors import CommandError

    try:
        match sys.argv[1:]:
            # The everyday command: building the parser first would take a tenth of a second.
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
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # people get a sentence; SLIPWAY_DEBUG has the rest
        if os.environ.get("SLIPWAY_DEBUG"):
            raise
        from cli import console

        console.error(
            f"{type(error).__name__}: {error}",
            "This is a mistake in Slipway itself. SLIPWAY_DEBUG=1 shows where it happened.",
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
