"""Measuring instruments: for time, for the moment when a new version serves, and for memory."""

import contextlib
import http.client
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIME_LIMIT = 900
"""Longest time of a command in seconds."""
POLL_PERIOD = 0.02
"""Seconds between two requests for the new version, and so the precision of its moment."""
ANSWER_LIMIT = 30
"""Seconds after an update until which a service has to answer again."""
MEMORY_PERIOD = 0.05
"""Seconds between two measurements of a process tree's memory."""
MIB = 1024 * 1024


class BenchError(Exception):
    """A command that was to be measured failed."""


@dataclass(frozen=True)
class Series:
    """Several measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    def as_json(self) -> dict[str, Any]:
        """The series in the results file's format."""
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
    expected: int = 0,
) -> float:
    """Run a command without a terminal. Returns the seconds that it took.

    Args:
        arguments: the command.
        folder: the working directory.
        environment: all environment variables.
        started: called once with the process id.
        expected: the exit status that is no failure.

    Raises:
        BenchError: the command failed, and the text has the end of its output; or it took longer than `TIME_LIMIT`.
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
        except BaseException as error:
            # Pulumi treats SIGTERM as an interrupt and finishes its current steps. Then the stack can be taken down.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise BenchError(f"{' '.join(arguments)} took longer than {TIME_LIMIT} s") from None
            raise
        if status != expected:
            output.seek(0)
            said = output.read().decode(errors="replace")[-4000:]
            raise BenchError(f"{' '.join(arguments)} ended with status {status}:\n{said}")
        return seconds


class ServingWatch:
    """Requests a service until every host answers with a text that only the new version has."""

    def __init__(self, urls: Sequence[str], text: str, domain: str | None = None) -> None:
        """Begin the requests.

        Args:
            urls: the service's URL on each host.
            text: a part of the new version's answer.
            domain: the Host header, if the proxy routes by name.
        """
        self._begun = time.monotonic()
        self._ended = threading.Event()
        self._moments: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._poll, args=(url, text, domain), daemon=True) for url in urls
        ]
        for thread in self._threads:
            thread.start()

    def seconds(self) -> float:
        """Seconds from the beginning until the last host served the new version. Call it when the roll-out has ended.

        Raises:
            BenchError: a host does not serve the new version.
        """
        # Wait for the answers that are under way.
        deadline = time.monotonic() + 2
        while len(self._moments) < len(self._threads) and time.monotonic() < deadline:
            time.sleep(POLL_PERIOD)
        self._ended.set()
        for thread in self._threads:
            thread.join()
        if len(self._moments) < len(self._threads):
            raise BenchError("the roll-out has ended, but a host does not serve the new version")
        return max(self._moments.values())

    def _poll(self, url: str, text: str, domain: str | None) -> None:
        while not self._ended.is_set():
            if text in _answer(url, domain):
                self._moments[url] = time.monotonic() - self._begun
                return
            self._ended.wait(POLL_PERIOD)


class SilenceWatch:
    """Requests a service on one host, and knows the longest time without an answer of it."""

    def __init__(self, url: str, text: str, domain: str | None = None) -> None:
        """Begin the requests.

        Args:
            url: the service's URL.
            text: a part of each of its answers, which the proxy's own have not.
            domain: the Host header, if the proxy routes by name.
        """
        self._ended = threading.Event()
        self._moments = [time.monotonic()]
        self._thread = threading.Thread(target=self._poll, args=(url, text, domain), daemon=True)
        self._thread.start()

    def seconds(self) -> float:
        """The longest time between two answers, in seconds. Call it when the update has ended.

        Raises:
            BenchError: the service does not answer any more.

        """
        ended = time.monotonic()
        while self._moments[-1] < ended:
            if time.monotonic() > ended + ANSWER_LIMIT:
                self._stop()
                raise BenchError("the update has ended, but the service does not answer")
            time.sleep(POLL_PERIOD)
        self._stop()
        return max(after - before for before, after in pairwise(self._moments))

    def _stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _poll(self, url: str, text: str, domain: str | None) -> None:
        while not self._ended.is_set():
            if text in _answer(url, domain):
                self._moments.append(time.monotonic())
            self._ended.wait(POLL_PERIOD)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing has."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        return int(reserved.getsockname()[1])


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
    """Measures the memory of a process and its descendants until the process ends.

    It adds proportional set sizes, in which a page that several processes share counts once.
    """

    def __init__(self) -> None:
        self.peak_mib = 0.0
        """Highest memory of the process tree, in MiB."""
        self.peak_processes = 0
        """The number of processes at that moment."""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes the process id. The measurement runs until the end of the block."""
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
    """The ids of a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # the process has ended
                # The name, in parentheses, may contain any character. The second field after it is the parent's id.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:  # the list grows during the loop
        found += children.get(pid, [])
    return found


def _proportional_set_size(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
