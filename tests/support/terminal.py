"""A command on a terminal of its own, at which keys can be pressed."""

import contextlib
import fcntl
import os
import pty
import re
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.waiting import PATIENCE

CTRL_C = b"\x03"
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command that runs on a terminal."""

    def __init__(
        self, arguments: tuple[str, ...], directory: Path, environment: Mapping[str, str], columns: int = 80
    ) -> None:
        """Start it on a new terminal of this width, as a shell would: the terminal's interrupt reaches its group."""
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (40, columns))
        self._process = subprocess.Popen(
            arguments,
            cwd=directory,
            env={**environment, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - it only calls the kernel
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self._output = b""

    @property
    def output(self) -> str:
        """What is printed so far, without the codes for colours. What overwrites a line has a line of its own."""
        with contextlib.suppress(OSError):  # no output yet, or the command has ended
            while part := os.read(self._master, 65536):
                self._output += part
        text = _CODES.sub("", self._output.decode(errors="replace"))
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def wait_for(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until the command has printed a text, and fail if it ends first."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            has_ended = self._process.poll() is not None
            if text in self.output:
                return
            assert not has_ended, f"it ended, and never printed {text!r}:\n{self.output}"
            assert time.monotonic() < deadline, f"it does not print {text!r}:\n{self.output}"
            time.sleep(0.05)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for its end, and return its exit status."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            assert time.monotonic() < deadline, f"does not end:\n{self.output}"
            _ = self.output  # a full terminal would stop the command
            time.sleep(0.02)
        return self._process.returncode

    def close(self) -> None:
        """End the command if it still runs, and remove the terminal."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)


@contextlib.contextmanager
def terminal(
    arguments: tuple[str, ...], directory: Path, environment: Mapping[str, str], columns: int = 80
) -> Iterator[Terminal]:
    """A command on a terminal, which is ended with the block."""
    opened = Terminal(arguments, directory, environment, columns)
    try:
        yield opened
    finally:
        opened.close()
