"""Clients that request a service again and again, and count failures."""

import http.client
import socket
import ssl
import threading
import time
from collections import Counter
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.tls import tls_context
from tests.support.waiting import ANSWER, PATIENCE, eventually

CLIENTS = 4
"""Clients for each URL. Half of them keep their connection, the others make a new one for each request."""
LEAST = 10 * CLIENTS
"""Requests to each URL before the load ends."""
THINK_TIME = 0.02
"""Seconds between an answer and the next request. With four clients a request begins about every 5 ms. A shorter time
would slow the update down."""


class Load:
    """A closed loop of clients on each URL, for as long as the block runs."""

    def __init__(self, *urls: str, domain: str = "", authority: str = "") -> None:
        self._domain, self._authority = domain, authority
        self.requests: Counter[str] = Counter()
        """The number of requests, by URL."""
        self.failures: list[str] = []
        """Requests that got no connection, no answer, or another status than 200."""
        self.greetings: dict[str, set[str]] = {url: set() for url in urls}
        """What each URL answered, without the container's name."""
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._client, args=(url, number % 2 == 0), daemon=True)
            for url in urls
            for number in range(CLIENTS)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                eventually(f"{LEAST} requests to each of {[*self.greetings]}", self._is_enough)
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join(PATIENCE)

    def check(self) -> None:
        """Fail if a request failed."""
        assert self._is_enough(), f"hardly any load: {self.requests}"
        assert not self.failures, f"{len(self.failures)} of {self.requests}: {self.failures[:5]}"

    def _is_enough(self) -> bool:
        return all(self.requests[url] >= LEAST for url in self.greetings)

    def _client(self, url: str, keep_alive: bool) -> None:
        connection = connection_to(url, self._domain, self._authority)
        headers = _headers(self._domain) | ({} if keep_alive else {"Connection": "close"})
        while not self._ended.is_set():
            try:
                connection.request("GET", "/", headers=headers)
                answer = connection.getresponse()
                body = answer.read().decode(errors="replace")
                failure = "" if answer.status == http.client.OK else f"HTTP {answer.status}: {body[:100]}"
            except (OSError, http.client.HTTPException) as error:
                body, failure = "", f"{type(error).__name__}: {error}"
            if failure or not keep_alive:
                connection.close()
            with self._guard:
                self.requests[url] += 1
                if failure:
                    self.failures.append(f"{time.strftime('%H:%M:%S')} {url} {failure}")
                else:
                    self.greetings[url].add(body.partition(", from ")[0])
            self._ended.wait(THINK_TIME)
        connection.close()


class _Named(http.client.HTTPSConnection):
    """A connection to an address, with the name of the server there."""

    def __init__(self, address: str, name: str, context: ssl.SSLContext) -> None:
        super().__init__(address, timeout=ANSWER, context=context)
        self._tls, self._name = context, name

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), ANSWER)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)


def connection_to(url: str, name: str = "", authority: str = "") -> http.client.HTTPConnection:
    """A connection to a URL's address. With HTTPS the server has to have the name, signed by the authority (PEM)."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return _Named(parts.netloc, name, tls_context(authority))
    return http.client.HTTPConnection(parts.netloc, timeout=ANSWER)


def greeting(url: str, domain: str = "", authority: str = "") -> str:
    """What a service answers now, without the container's name; fails if the status is not 200."""
    connection = connection_to(url, domain, authority)
    try:
        connection.request("GET", "/", headers=_headers(domain))
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    finally:
        connection.close()
    assert answer.status == http.client.OK, f"{url}: HTTP {answer.status} {body}"
    return body.partition(", from ")[0]


def _headers(domain: str) -> dict[str, str]:
    return {"Host": domain} if domain else {}
