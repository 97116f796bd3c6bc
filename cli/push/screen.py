"""What the person who pushes sees. They may have gone: then the deployment goes on without a word."""

import os
import sys

from cli.text import clean


class Screen:
    """Standard output, which git passes on to the person who pushes, each line behind `remote:`."""

    def __init__(self) -> None:
        self.is_gone = False
        """Whether nobody reads any more."""

    def say(self, text: str) -> None:
        """Print a sentence of ours."""
        self.copy(f"{clean(text)}\n")

    def copy(self, text: str) -> None:
        """Print what a deployment printed."""
        if self.is_gone:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            self.is_gone = True
            # Python would fail once more when it closes the stream.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
