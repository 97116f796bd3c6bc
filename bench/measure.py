"""How things are measured: time, the moment from which a new version serves, and memory."""

import contextlib
import http.client
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIME_LIMIT = 900
"""Seconds that any command may take."""
LOOK_PERIOD = 0.02
"""Seconds between two looks whether the new version serves: how exact that moment is."""
MEMORY_PERIOD = 0.05
"""Seconds between two looks at the memory of a process tree."""
MIB = 1024 * 1024


class BenchError(Exception):
    """Something that was to be measured failed, so there is nothing to measure."""


@dataclass(frozen=True)
class Series:
    """Several measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def as_json(self) -> dict[str, Any]:
        """For the file of results."""
        return {
            "median": round(self.median, 3),
            "min": round(min(self.values), 3),
            "max": round(max(self.values), 3),
            "values": [round(value, 3) for value in self.values],
        }


def run(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    started: Callable[[int], None] = lambda _: None,
) -> float:
    """Run a command without a terminal. Returns the seconds that it took.

    Args:
        arguments: the command.
        folder: where it runs.
        environment: its whole environment.
        started: called once with its process id.

    Raises:
        BenchError: it failed, or took longer than `TIME_LIMIT`; with what it printed last.
    """
    with tempfile.TemporaryFile() as output:
        begun = time.monotonic()
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            started(process.pid)
            status = process.wait(TIME_LIMIT)
            seconds = time.monotonic() - begun
        except BaseException:
            # Pulumi takes it as an interrupt, and finishes what it has begun; so the stack can be taken down.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
            process.wait()
            raise
        if status:
            output.seek(0)
            said = output.read().decode(errors="replace")[-4000:]
            raise BenchError(f"{' '.join(arguments)} ended with status {status}:\n{said}")
        return seconds


class ServingWatch:
    """Looks at a service from outside until every host answers with a text that only the new version has."""

    def __init__(self, urls: Sequence[str], text: str, domain: str | None = None) -> None:
        """Begin to look.

        Args:
            urls: where each host answers.
            text: what the new version's answer contains.
            domain: the name to ask for, if the proxy knows the service by one.
        """
        self._begun = time.monotonic()
        self._ended = threading.Event()
        self._moments: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._look, args=(url, text, domain), daemon=True) for url in urls
        ]
        for thread in self._threads:
            thread.start()

    def seconds(self) -> float:
        """How long after the beginning the last host served the new version.

        Raises:
            BenchError: one does not serve it, though the command that was to see to it has ended.
        """
        # A moment for the look that is under way.
        deadline = time.monotonic() + 2
        while len(self._moments) < len(self._threads) and time.monotonic() < deadline:
            time.sleep(LOOK_PERIOD)
        self._ended.set()
        for thread in self._threads:
            thread.join()
        if len(self._moments) < len(self._threads):
            raise BenchError("the command has ended, but not every host serves the new version")
        return max(self._moments.values())

    def _look(self, url: str, text: str, domain: str | None) -> None:
        while not self._ended.is_set():
            if text in _answer(url, domain):
                self._moments[url] = time.monotonic() - self._begun
                return
            self._ended.wait(LOOK_PERIOD)


def _answer(url: str, domain: str | None) -> str:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": domain} if domain else {})
        return connection.getresponse().read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


class MemoryWatch:
    """The memory of a process and of all that it starts, looked at again and again until it ends.

    What counts is the proportional set size: a page that several processes share is counted once.
    """

    def __init__(self) -> None:
        self.peak_mib = 0.0
        """Most memory of the whole tree at one moment, MiB."""
        self.peak_processes = 0
        """How many processes that was."""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[Callable[[int], None]]:
        """Gives what takes the process id, and looks at it while the block runs."""
        try:
            yield self._start
        finally:
            self._ended.set()
            if self._thread:
                self._thread.join()

    def _start(self, pid: int) -> None:
        self._thread = threading.Thread(target=self._watch, args=(pid,), daemon=True)
        self._thread.start()

    def _watch(self, pid: int) -> None:
        while not self._ended.wait(MEMORY_PERIOD):
            sizes = [size for process in process_tree(pid) if (size := _proportional_set_size(process))]
            if sum(sizes) / MIB > self.peak_mib:
                self.peak_mib, self.peak_processes = sum(sizes) / MIB, len(sizes)


def process_tree(root: int) -> list[int]:
    """A process and all that come from it, at this moment."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended
                # The name, in parentheses, may hold anything; the second field after it is the parent.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:  # it grows while we walk it
        found += children.get(pid, [])
    return found


def _proportional_set_size(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
