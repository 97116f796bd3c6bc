"""Clients that know several addresses of a name, as browsers do: what one does not answer, they ask another."""

import http.client
import threading
import time
from types import TracebackType

from tests.support.http_load import THINK_TIME, Client
from tests.support.waiting import ANSWER, eventually

CLIENTS = 4
"""Clients, which begin with different addresses. Half of them keep their connection."""
LEAST = 10
"""Requests of each client before the load ends, after what the test has done."""
SILENCE = 2.0
"""Seconds after which a client asks another address. It decides when a client moves on, and nothing else."""


class EitherAddress:
    """A closed loop of clients that ask with GET, for as long as the block runs."""

    def __init__(self, name: str, *urls: str) -> None:
        """Clients that do not ask yet.

        Args:
            name: the service's.
            urls: its addresses.
        """
        self._name, self._urls = name, urls
        self.requests = [0] * CLIENTS
        self.moves = 0
        """How often a client has gone to another address."""
        self.failures: list[str] = []
        """Requests that no address has answered with 200."""
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CLIENTS)
        ]

    def __enter__(self) -> "EitherAddress":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.go_on()
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join(2 * ANSWER)

    def go_on(self) -> None:
        """Wait until each client has had some more answers."""
        before = list(self.requests)
        eventually(
            "each client goes on",
            lambda: all(now >= then + LEAST for now, then in zip(self.requests, before, strict=True)),
        )

    def _run(self, number: int) -> None:
        keeps = number % 2 == 0
        clients = [Client(url, self._name, "", keeps, patience=SILENCE) for url in self._urls]
        place = (number // 2) % len(clients)
        while not self._ended.is_set():
            begun, said = time.monotonic(), ""
            while not self._ended.is_set():
                client = clients[place]
                try:
                    status, body = client.get()
                    said = "" if status == http.client.OK else f"HTTP {status}: {body[:100]}"
                    is_answered = True
                except (OSError, ValueError) as error:
                    said, is_answered = f"{type(error).__name__}: {error}", False
                if said or not keeps:
                    client.close()
                if is_answered or time.monotonic() - begun > ANSWER:
                    break
                place = (place + 1) % len(clients)
                with self._guard:
                    self.moves += 1
            with self._guard:
                self.requests[number] += 1
                if said and not self._ended.is_set():
                    self.failures.append(f"{time.strftime('%H:%M:%S')} {self._urls[place]} {said}")
            self._ended.wait(THINK_TIME)
        for client in clients:
            client.close()
