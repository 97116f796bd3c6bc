"""A person and a host that push to a registry and pull from it all the time, and count failures."""

import hashlib
import http.client
import io
import json
import ssl
import subprocess
import tarfile
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass, field
from types import TracebackType

from tests.support.registry import MANIFESTS, Registry
from tests.support.waiting import ANSWER, PATIENCE, eventually

REPOSITORY = "traffic"
"""The repository of the pushed images."""
PAUSE = 0.3
"""Seconds between two rounds. A shorter time would slow the update down."""
AWAY = (
    *("connection refused", "connection reset", "broken pipe", "EOF", "Empty reply"),
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
        except (OSError, AssertionError) as error:
            return self._fail(f"{type(error).__name__}: {error}")
        return True

    def _push_and_pull(self, content: bytes) -> None:
        layer = _layer(content)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
        ).encode()
        for blob in (layer, config):
            self._push_blob(blob)
        kind = "application/vnd.oci.image"
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{kind}.manifest.v1+json",
                "config": _descriptor(f"{kind}.config.v1+json", config),
                "layers": [_descriptor(f"{kind}.layer.v1.tar", layer)],
            }
        ).encode()
        self._ask("PUT", "manifests/latest", 201, manifest, f"{kind}.manifest.v1+json")
        _, pulled = self._ask("GET", "manifests/latest", 200)
        assert pulled == manifest, "the pulled manifest differs from the pushed one"
        _, blob = self._ask("GET", f"blobs/{_digest(layer)}", 200)
        assert blob == layer, "the pulled layer differs from the pushed one"

    def _push_blob(self, content: bytes) -> None:
        location, _ = self._ask("POST", "blobs/uploads/", 202)
        path = location.partition("/v2/")[2].removeprefix(f"{REPOSITORY}/")
        self._ask("PUT", f"{path}&digest={_digest(content)}", 201, content, "application/octet-stream")

    def _ask(
        self, method: str, path: str, status: int, body: bytes = b"", kind: str = MANIFESTS
    ) -> tuple[str, bytes]:
        connection = http.client.HTTPSConnection(
            self.registry.address, context=self.registry.tls(), timeout=ANSWER
        )
        credentials = b64encode(":".join(self.registry.account).encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Accept": MANIFESTS}
        try:
            connection.request(
                method,
                f"/v2/{REPOSITORY}/{path}",
                body or None,
                headers | ({"Content-Type": kind} if body else {}),
            )
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == status, f"{method} {path}: HTTP {answer.status} {content[:200]!r}"
            return answer.headers.get("Location", ""), content
        finally:
            connection.close()


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


def _descriptor(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
