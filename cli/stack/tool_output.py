"""What another program says, such as git of a commit."""

import subprocess
from collections.abc import Sequence

import child_environment

PATIENCE = 3.0
"""Seconds that a program has to answer."""


def tool_output(command: Sequence[str], child: str) -> str:
    """A command's standard output, whatever its status; empty if there is no such command, or no answer in time.

    Args:
        command: the program and its arguments.
        child: its name in `child_environment`, which decides the environment that it gets.

    """
    try:
        return subprocess.run(
            command,
            env=child_environment.of(child),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
