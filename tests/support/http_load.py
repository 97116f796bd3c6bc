"""Clients that request a service again and again, and count failures."""

import http.client
import re
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
THINK_TIME = 0.04
"""Seconds between an answer and the next request. With four clients a request begins about every 10 ms. A shorter time
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
        client = Client(url, self._domain, self._authority, keep_alive)
        while not self._ended.is_set():
            try:
                status, body = client.get()
                failure = "" if status == http.client.OK else f"HTTP {status}: {body[:100]}"
            except (OSError, ValueError) as error:
                body, failure = "", f"{type(error).__name__}: {error}"
            if failure or not keep_alive:
                client.close()
            with self._guard:
                self.requests[url] += 1
                if failure:
                    self.failures.append(f"{time.strftime('%H:%M:%S')} {url} {failure}")
                else:
                    self.greetings[url].add(body.partition(", from ")[0])
            self._ended.wait(THINK_TIME)
        client.close()


class Client:
    """Sends the same request again and again. `http.client` takes five times the CPU time, which the stack needs."""

    def __init__(
        self,
        url: str,
        domain: str,
        authority: str,
        keep_alive: bool,
        method: str = "GET",
        patience: float = ANSWER,
    ) -> None:
        parts = urlsplit(url)
        is_https = parts.scheme == "https"
        self._address = parts.hostname or "", parts.port or (443 if is_https else 80)
        self._patience = patience
        self._name, self._tls = domain, tls_context(authority) if is_https else None
        close = "" if keep_alive else "Connection: close\r\n"
        self._request = f"{method} / HTTP/1.1\r\nHost: {domain or parts.netloc}\r\n{close}\r\n".encode()
        self._socket: socket.socket | None = None

    def get(self) -> tuple[int, str]:
        """Status and body of an answer.

        Raises:
            OSError: no connection, or no complete answer.
            ValueError: no answer of HTTP.

        """
        if self._socket is None:
            plain = socket.create_connection(self._address, self._patience)
            self._socket = self._tls.wrap_socket(plain, server_hostname=self._name) if self._tls else plain
        self._socket.sendall(self._request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = re.search(rb"\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if length is None:
            # A proxy's own answers end with the connection.
            while received := self._socket.recv(65_536):
                body += received
            self.close()
            return status, body.decode(errors="replace")
        while len(body) < int(length[1]):
            body += self._more()
        if re.search(rb"\nconnection: *close", head, re.IGNORECASE):
            self.close()
        return status, body.decode(errors="replace")

    def _more(self) -> bytes:
        assert self._socket is not None
        if received := self._socket.recv(65_536):
            return received
        raise ConnectionError("the connection ended before the answer did")

    def close(self) -> None:
        """Close the connection; the next request makes another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


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
