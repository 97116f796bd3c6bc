"""What a command prints. It is kept for the outputs and errors, and shown line by line while the command runs."""

import re
import threading
from collections.abc import Callable
from typing import Literal

from plugins.protocol.messages import Failure

Stream = Literal["stdout", "stderr"]


class Transcript:
    """The whole output of a command; safe to use from several threads."""

    def __init__(self, logging: str | None, show: Callable[[str], None]) -> None:
        """Take the streams to `show`: `logging` is `stdout`, `stderr`, `stdoutAndStderr` (like None) or `none`."""
        shown = {"stdout": ("stdout",), "stderr": ("stderr",), "none": ()}
        self._shown = shown.get(logging or "", ("stdout", "stderr"))
        self._show = show
        self._lock = threading.Lock()
        self._streams: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._both = bytearray()
        self._line = bytearray()

    def write(self, stream: Stream, data: bytes) -> None:
        """Take the next output of the command."""
        with self._lock:
            self._streams[stream] += data
            self._both += data
            if stream not in self._shown:
                return
            *lines, rest = (self._line + data).split(b"\n")
            self._line = bytearray(rest)
        for line in lines:
            self._show(_text(line).removesuffix("\r"))

    def close(self) -> None:
        """Show the last line, if it has no newline."""
        with self._lock:
            line, self._line = self._line, bytearray()
        if line:
            self._show(_text(line))

    def __getitem__(self, stream: Stream) -> str:
        """Return the output on `stream` without its last newline."""
        return _text(self._streams[stream]).removesuffix("\n")

    def failure(self, reason: str, command: str) -> Failure:
        """Return the error of a `command` that failed for `reason`, with its whole output."""
        return Failure(f"{reason}: running {quote(command)}:\n{_text(self._both)}")


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "replace")


_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}


def quote(text: str) -> str:
    """Return `text` as Go's `%q` writes it, which the official plugin uses."""

    def escape(match: re.Match[str]) -> str:
        character = match[0]
        return _ESCAPES.get(character) or f"\\x{ord(character):02x}"

    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    printable = re.sub("[\x00-\x1f\x7f]", escape, plain)
    return f'"{printable}"'
