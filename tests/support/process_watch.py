"""Watches the process list: the command lines, which every user can read, and the environments."""

import contextlib
import threading
from pathlib import Path
from types import TracebackType

from tests.support.waiting import PATIENCE

PERIOD = 0.05
"""Seconds between two looks. Commands that take secrets wait for a network, so they run for longer than this."""


class ProcessWatch:
    """Every command line, and every environment, that any process had while the block ran."""

    def __init__(self) -> None:
        self.command_lines: set[str] = set()
        self.environments: dict[str, str] = {}
        """The environment by the command line that it belongs to."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "ProcessWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)

    def _watch(self) -> None:
        seen: set[tuple[str, bytes]] = set()
        while not self._ended.wait(PERIOD):
            for process in Path("/proc").iterdir():
                if not process.name.isdecimal():
                    continue
                with contextlib.suppress(OSError):  # the process has ended
                    command_line = (process / "cmdline").read_bytes()
                    if not command_line or (process.name, command_line) in seen:
                        continue
                    seen.add((process.name, command_line))
                    text = _text(command_line)
                    self.command_lines.add(text)
                    self.environments[f"{process.name} {text}"] = _text((process / "environ").read_bytes())


def _text(content: bytes) -> str:
    return content.decode(errors="replace").replace("\0", "\n")
