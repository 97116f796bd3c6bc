"""A person and a host that push to a registry and pull from it all the time, and count failures."""

import http.client
import io
import json
import ssl
import subprocess
import tarfile
import threading
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from types import TracebackType

from tests.support.registry import Registry
from tests.support.registry_client import Client, Refused
from tests.support.waiting import PATIENCE, eventually

REPOSITORY = "web"
"""The repository of the pushed images: of the service, since its hosts pull nothing else. They run it by its digest."""
PAUSE = 0.05
"""Seconds between two rounds. A shorter time would slow the update down."""
AWAY = (
    *("connection refused", "connection reset", "broken pipe", "EOF", "Empty reply"),
    *("503 Service Unavailable", "the registry is starting"),
    *("i/o timeout", "TLS handshake timeout", "deadline exceeded", "Client.Timeout exceeded"),
)
"""What an engine says of a registry that does not answer because it is restarting."""


@dataclass
class Rounds:
    """The same action again and again while the block runs."""

    rounds: int = 0
    """The rounds that have ended, however they ended."""
    successes: int = 0
    failures: list[str] = field(default_factory=list)
    """Failures of trust, access or content."""
    refusals: list[str] = field(default_factory=list)
    """Errors of a server that did not answer because it was restarting."""

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)

    def go_on(self, what: str, rounds: int) -> None:
        """Wait for more rounds that end well, or for a failure: then `failures` says which."""
        enough = self.successes + rounds
        eventually(
            f"{what} goes well {rounds} more times",
            lambda: bool(self.failures) or self.successes >= enough,
        )

    def _fail(self, text: str) -> bool:
        self.failures.append(f"{time.strftime('%H:%M:%S')} {text}")
        return False

    def _run(self) -> None:
        while not self._ended.wait(PAUSE):
            self.successes += self._round()
            self.rounds += 1

    def _round(self) -> bool:
        """Whether one round ended well."""
        raise NotImplementedError


@dataclass
class Person(Rounds):
    """A person who pushes an image of one new layer and pulls it, over a new connection for each request."""

    registry: Registry = field(kw_only=True)
    """The registry, with the authority that this person trusts."""

    def _round(self) -> bool:
        try:
            self._push_and_pull(f"round {self.rounds} at {time.time()}".encode())
        except ssl.SSLCertVerificationError as error:
            return self._fail(error.verify_message)
        except (ConnectionError, TimeoutError, http.client.HTTPException, ssl.SSLEOFError) as error:
            self.refusals.append(repr(error))
            return False
        except Refused as error:
            if error.status == http.client.SERVICE_UNAVAILABLE:
                self.refusals.append(repr(error))
                return False
            return self._fail(f"{type(error).__name__}: {error}")
        except (OSError, AssertionError) as error:
            return self._fail(f"{type(error).__name__}: {error}")
        return True

    def _push_and_pull(self, content: bytes) -> None:
        client = Client.of(self.registry, keep_alive=False)
        image = client.push(REPOSITORY, "latest", layers=[_layer(content)])
        assert client.pull(REPOSITORY, "latest") == image.digest, (
            "the pulled image differs from the pushed one"
        )


@dataclass
class HostEngine(Rounds):
    """A host whose engine pulls the image that the person pushed last."""

    container: str = field(kw_only=True)
    """The host."""
    registry: str = field(kw_only=True)
    """`host:port`, the registry's name on the hosts."""
    account: tuple[str, str] = field(kw_only=True, repr=False)
    """Name and password."""
    engine_away: int = 0
    """The number of times that the engine itself did not answer, or hung up."""

    def _round(self) -> bool:
        name, password = self.account
        login = {"username": name, "password": password, "serveraddress": self.registry}
        header = f'header = "X-Registry-Auth: {urlsafe_b64encode(json.dumps(login).encode()).decode()}"'
        image = f"fromImage={self.registry}/{REPOSITORY}&tag=latest"
        ask = f"curl -sS -K - --unix-socket /run/docker.sock -X POST 'http://engine/images/create?{image}'"
        try:
            result = subprocess.run(
                ["docker", "exec", "--interactive", self.container, "sh", "-c", ask],
                input=header,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return self._fail("the engine did not end a pull in time")
        output = result.stdout + result.stderr
        if result.returncode or not output:
            self.engine_away += 1
            return False
        if any(word in output for word in AWAY):
            self.refusals.append(output)
            return False
        if '"error"' in output or "Status: " not in output:
            return self._fail(output.strip().splitlines()[-1])
        return True


def _layer(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()
