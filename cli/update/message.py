"""The message of an update: who ran it where, and on which commit. `./slip history` shows it.

The operating system says who it is, not the environment. Whoever can write the backend can write another name there: it
tells a team who did what, and proves nothing.
"""

import os
import pwd
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from cli.stack.tool_output import tool_output

_LENGTH = 1000
"""Characters of the user's own message that are kept."""


def with_author(options: Sequence[str], project: Path) -> list[str]:
    """Pulumi's options of an update, with the author in its message; the user's own message comes first.

    Args:
        options: Pulumi's options, perhaps with `--message` or `-m`.
        project: the clone.
    """
    kept, own, words = [], "", iter(options)
    for word in words:
        if word in {"--message", "-m"}:
            own = next(words, "")
        elif word.startswith("--message="):
            own = word.partition("=")[2]
        elif word.startswith("-m") and not word.startswith("--"):
            own = word[2:].removeprefix("=")
        else:
            kept.append(word)
    author = ", ".join(filter(None, (f"{_user()}@{socket.gethostname()}", _commit(project))))
    own = " ".join(own.split())[:_LENGTH]
    return [*kept, "--message", f"{own} ({author})" if own else author]


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container without an entry for its user
        return str(os.getuid())


def _commit(project: Path) -> str:
    """The commit of the clone, with `-dirty` if tracked files differ from it; empty outside of a repository."""
    if not (project / ".git").exists():
        return ""
    # The configuration of the clone's own repository is the operator's, as in components/git.py.
    command = [
        *("git", "-C", str(project), "--no-optional-locks", "-c", "safe.bareRepository=explicit"),
        *("-c", "core.fsmonitor=false", "describe", "--always", "--dirty", "--exclude", "*", "--abbrev=12"),
    ]
    said = tool_output(command, "git")
    return f"commit {said}" if re.fullmatch(r"[0-9a-f]{7,64}(-dirty)?", said) else ""
