"""The issue that says that a stack is not as its last update left it, for as long as it is so."""

import os

from cli import console
from cli.forge.address import run_page, tracker
from cli.forge.issue import keep_closed, keep_open
from cli.screen.comment.comment import LIMITS
from cli.screen.comment.markdown import code
from cli.stack.stack import LOCAL


class DriftIssue:
    """The issue of a stack, with the forge's token, which no child process gets."""

    def __init__(self, project: str, stack: str) -> None:
        """Find the forge, and take the token out of the environment.

        Raises:
            CommandError: this is no CI of a forge, or there is no token.

        """
        self._at = tracker(os.environ)
        for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN"):
            os.environ.pop(name, None)
        self._stack = stack
        self._mark = f"<!-- slipway drift {project}/{stack} -->".replace("--->", "->")

    @property
    def limit(self) -> int:
        """How long the comment of the preview may be, in bytes."""
        return LIMITS[self._at.kind] - 1000

    def say_drift(self, comment: str) -> None:
        """Open or update it, with what the preview found.

        Args:
            comment: the preview as the comment of a pull request.

        """
        found = comment.partition("\n")[2]  # without the mark of the comment
        option = "" if self._stack == LOCAL else f" -s {self._stack}"
        remedy = f"`./slip up --refresh{option}` makes it so again."
        self._open("The stack is not as its last update left it", f"{remedy}\n\n{found}")

    def say_failed(self) -> None:
        """Open or update it, since nobody knows how the stack is. The reason may quote anything: the log has it."""
        self._open("The stack could not be compared with its last update", "The job's log says why.")

    def say_well(self) -> None:
        """Close it, if it is open."""
        text = f"{self._mark}\n**The stack is as its last update left it.**\n{self._run()}"
        if page := keep_closed(self._at, text):
            console.say(f"Closed the issue: {page}")

    def _open(self, headline: str, text: str) -> None:
        title = f"Drift of the stack {self._stack}"
        body = f"{self._mark}\n**{headline}.** {text}\n{self._run()}"
        console.say(f"The issue: {keep_open(self._at, title, body)}")

    def _run(self) -> str:
        page = run_page(os.environ)
        return f"\nSeen by {code(page)}\n" if page else ""
