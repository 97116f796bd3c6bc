"""Clients of several kinds that ask a service again and again: HTTP/1.1 and HTTP/2, connections kept or made anew."""

import http.client
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.http_load import THINK_TIME, Client
from tests.support.waiting import ANSWER, eventually

EACH = 2
"""Clients of each kind."""
LEAST = 5
"""Requests of each client before the load ends, after what the test has done."""
ENDLESS = 1_000_000
"""Requests that a client of HTTP/2 with one connection would send in all."""


@dataclass(frozen=True)
class Kind:
    """How a client asks."""

    version: str
    """Of HTTP: `1.1` or `2`."""
    keeps: bool
    """Whether it keeps its connection."""
    method: str = "GET"

    def __str__(self) -> str:
        return f"{self.method} HTTP/{self.version} {'kept' if self.keeps else 'anew'}"


VERSIONS = [Kind(version, keeps) for version, keeps in product(("1.1", "2"), (True, False))]
"""With `EACH`, eight clients. HTTP/2 takes HTTPS."""
METHODS = [Kind("1.1", keeps, method) for method, keeps in product(("GET", "POST"), (True, False))]
"""With `EACH`, eight clients, of which half ask what may not be asked twice."""


@dataclass
class Asked:
    """What became of one client's requests."""

    kind: Kind
    requests: int = 0
    slowest: float = 0
    """Seconds."""
    failures: list[str] = field(default_factory=list)


class Clients:
    """A closed loop of clients, for as long as the block runs."""

    def __init__(
        self, url: str, name: str = "", authority: str = "", kinds: Sequence[Kind] = VERSIONS
    ) -> None:
        """Clients that do not ask yet.

        Args:
            url: where they ask.
            name: the service's, if it has one.
            authority: with HTTPS, PEM.
            kinds: how they ask, `EACH` of a kind.
        """
        self._url, self._name, self._authority = url, name, authority
        self.clients = [Asked(kind) for kind in kinds for _ in range(EACH)]
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(client,), daemon=True) for client in self.clients
        ]

    def __enter__(self) -> "Clients":
        self._folder = tempfile.TemporaryDirectory()
        (Path(self._folder.name) / "ca.pem").write_text(self._authority)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                before = [client.requests for client in self.clients]
                eventually(
                    "each client goes on",
                    lambda: all(
                        client.requests >= count + LEAST
                        for client, count in zip(self.clients, before, strict=True)
                    ),
                )
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join(2 * ANSWER)
            self._folder.cleanup()

    @property
    def failures(self) -> list[str]:
        """All that went wrong."""
        return [f"{client.kind}: {failure}" for client in self.clients for failure in client.failures]

    @property
    def slowest(self) -> float:
        """Seconds of the slowest request."""
        return max(client.slowest for client in self.clients)

    def _run(self, client: Asked) -> None:
        answers = self._by_curl if client.kind.version == "2" else self._by_socket
        while not self._ended.is_set():
            for seconds, failure in answers(client.kind):
                client.requests += 1
                client.slowest = max(client.slowest, seconds)
                if failure:
                    client.failures.append(f"{time.strftime('%H:%M:%S')} after {seconds:.2f} s: {failure}")
                if self._ended.is_set():
                    return

    def _by_socket(self, kind: Kind) -> Iterator[tuple[float, str]]:
        client = Client(self._url, self._name, self._authority, kind.keeps, kind.method)
        while True:
            begun = time.monotonic()
            try:
                status, body = client.get()
                failure = "" if status == http.client.OK else f"HTTP {status}: {body[:100]}"
            except (OSError, ValueError) as error:
                failure = f"{type(error).__name__}: {error}"
            if failure or not kind.keeps:
                client.close()
            yield time.monotonic() - begun, failure
            self._ended.wait(THINK_TIME)

    def _by_curl(self, kind: Kind) -> Iterator[tuple[float, str]]:
        """Of one connection, or of one request."""
        parts = urlsplit(self._url)
        name = self._name or parts.hostname
        url = f"{parts.scheme}://{name}:{parts.port}/"
        words = [
            *("curl", "--silent", "--noproxy", "*", "--output", "/dev/null", "--max-time", str(ANSWER)),
            *("--http2", "--request", kind.method, "--cacert", f"{self._folder.name}/ca.pem"),
            *("--resolve", f"{name}:{parts.port}:{parts.hostname}"),
            # On standard error, since only that has no buffer.
            *("--write-out", "%{stderr}%{http_version} %{http_code} %{time_total} %{exitcode} %{errormsg}\n"),
            *(("--rate", f"{1 / THINK_TIME:.0f}/s", f"{url}?[1-{ENDLESS}]") if kind.keeps else (url,)),
        ]
        with _running(words) as process:
            for line in process.stderr or ():
                version, status, seconds, code, error = line.rstrip("\n").split(" ", 4)
                is_well = (version, status, code) == ("2", "200", "0")
                yield float(seconds), "" if is_well else f"HTTP/{version} {status} {error}"
        if not kind.keeps:
            self._ended.wait(THINK_TIME)


@contextmanager
def _running(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def table(rows: Sequence[tuple[str, float, Clients]]) -> str:
    """What became of the requests: a line for each change, with its name, its seconds, and the clients meanwhile."""
    kinds = list(dict.fromkeys(client.kind for _, _, load in rows for client in load.clients))
    lines = [("change", "s", *map(str, kinds), "failed", "slowest s")]
    for what, seconds, load in rows:
        counts = (sum(client.requests for client in load.clients if client.kind == kind) for kind in kinds)
        lines.append(
            (what, f"{seconds:.0f}", *map(str, counts), str(len(load.failures)), f"{load.slowest:.2f}")
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines
    )
