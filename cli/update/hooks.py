"""Runs a hook: a command of the stack's on the operator's machine, with a record of the update on standard input."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import child_environment

GRACE = 5
"""Seconds that a hook has to end after SIGTERM."""


def run(words: Sequence[str], record: Mapping[str, Any], limit: int, directory: Path) -> str:
    """Run a hook. What it prints goes to standard error. Returns why it failed; empty if it succeeded.

    Its environment has paths and language, and none of the operator's secrets.

    Args:
        words: the program and its arguments.
        record: what it gets on standard input, as JSON.
        limit: seconds that it may take.
        directory: where it runs.

    """
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(record, indent=2).encode() + b"\n")
        file.seek(0)
        try:
            process = subprocess.Popen(
                words,
                stdin=file,
                stdout=sys.stderr,
                cwd=directory,
                env=child_environment.of("hook"),
                start_new_session=True,  # so that what it starts ends with it
            )
        except OSError as error:
            return f"it cannot be started: {error.strerror or error}"
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"it took longer than {limit} s (slipway:hooks.timeLimit), and was ended"
    except BaseException:  # Ctrl-C, above all
        _end(process)
        raise
    if status < 0:
        return f"signal {-status} ended it"
    return f"it ended with status {status}" if status else ""


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a hook and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
