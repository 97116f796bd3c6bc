"""Watches the process list: the command lines, which every user can read, and the environments."""

import contextlib
import os
import threading
import time
from pathlib import Path
from types import TracebackType

from tests.support.waiting import PATIENCE

PERIOD = 0.01
"""Seconds between two looks at the processes that are new."""
YOUNG = 0.5
"""Seconds for which a process counts as new: a shell becomes another program soon after its start, or never."""
ALL = 0.5
"""Seconds between two looks at all processes."""


class ProcessWatch:
    """Every command line, and every environment, that any process had while the block ran.

    Hosts that are containers of this machine are watched, too, and the containers in them.
    """

    def __init__(self) -> None:
        self.command_lines: set[str] = set()
        self.environments: dict[str, str] = {}
        """The environment by the command line that it belongs to."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._seen: set[tuple[str, bytes]] = set()

    def __enter__(self) -> "ProcessWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)

    def _watch(self) -> None:
        born: dict[str, float] = {}
        looked = 0.0
        while not self._ended.wait(PERIOD):
            now = time.monotonic()
            with os.scandir("/proc") as found:
                born = {entry.name: born.get(entry.name, now) for entry in found if entry.name.isdecimal()}
            everything = now - looked > ALL
            if everything:
                looked = now
            for pid, begun in born.items():
                if everything or now - begun < YOUNG:
                    with contextlib.suppress(OSError):  # the process has ended
                        self._look(pid)

    def _look(self, pid: str) -> None:
        command_line = _content(pid, "cmdline")
        if not command_line or (pid, command_line) in self._seen:
            return
        self._seen.add((pid, command_line))
        text = _text(command_line)
        self.command_lines.add(text)
        self.environments[f"{pid} {text}"] = _text(_content(pid, "environ"))


def _content(pid: str, name: str) -> bytes:
    return Path("/proc", pid, name).read_bytes()


def _text(content: bytes) -> str:
    return content.decode(errors="replace").replace("\0", "\n")
