"""The commits between two versions of a build context, from the clone's own git repository."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import child_environment

PATIENCE = 30
"""Limit for one git command, seconds."""
MOST = 500
"""How many commits are read."""
_OPTIONS = (
    *("--no-pager", "--no-optional-locks", "--literal-pathspecs"),
    *("-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"),
    *("-c", "log.showSignature=false"),
)
"""As in `components/git.py`: the configuration of a repository must not make git run anything."""


@dataclass(frozen=True)
class Commit:
    """One commit."""

    revision: str
    subject: str
    """The first line of its message: anyone's text."""


def commits_between(root: Path, old: str, new: str, context: str) -> list[Commit] | None:
    """The commits after `old` up to `new` that changed a folder, the newest first; None if this clone cannot know.

    A suffix `-dirty` is left out. A shallow clone lacks older commits.

    Args:
        root: the project's directory.
        old: a commit.
        new: a later commit.
        context: the folder, relative to the project.

    """
    ends = [re.fullmatch(r"([0-9a-f]{40,64})(-dirty)?", one) for one in (old, new)]
    if not all(ends) or not (root / ".git").exists():
        return None
    first, last = (found[1] for found in ends if found)
    environment = child_environment.of("git")
    environment["GIT_TERMINAL_PROMPT"] = "0"
    try:
        done = subprocess.run(
            [
                *("git", *_OPTIONS, "log", f"--max-count={MOST}", "--format=%H%x00%s", "--no-ext-diff"),
                *("--no-textconv", f"{first}..{last}", "--", context),
            ],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    lines = [line.partition("\0") for line in done.stdout.splitlines()]
    return [Commit(revision, subject) for revision, _, subject in lines]
