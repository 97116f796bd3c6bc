"""Those who push to a registry and pull from it all the time, and count what goes wrong."""

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

from tests.e2e.registry import MANIFESTS, Registry

REPOSITORY = "traffic"
"""The repository that is pushed to."""
PAUSE = 0.05
"""Seconds between one round and the next: the machine has more to do."""
AWAY = ("connection refused", "connection reset", "EOF", "Empty reply")
"""What is said where nobody answers: a server that is only just starting."""


@dataclass
class Rounds:
    """The same again and again, as long as a block runs."""

    rounds: int = 0
    failures: list[str] = field(default_factory=list)
    """What went wrong: trust, access, content."""
    refusals: list[float] = field(default_factory=list)
    """When nobody answered, by the clock: a server was only just starting."""

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(30)

    @property
    def away(self) -> float:
        """Seconds between the first and the last time that nobody answered."""
        return self.refusals[-1] - self.refusals[0] if self.refusals else 0.0

    def _fail(self, text: str) -> None:
        self.failures.append(f"{time.strftime('%H:%M:%S')} {text}")

    def _run(self) -> None:
        while not self._ended.wait(PAUSE):
            self.rounds += 1
            self._round()

    def _round(self) -> None:
        raise NotImplementedError


@dataclass
class Person(Rounds):
    """Somebody who pushes an image of one new layer and pulls it, over a connection for each request."""

    registry: Registry = field(kw_only=True)
    """The registry, with the authority that this person trusts for good."""

    def _round(self) -> None:
        try:
            self._push_and_pull(f"round {self.rounds} at {time.time()}".encode())
        except ssl.SSLCertVerificationError as error:
            self._fail(error.verify_message)
        except (ConnectionError, http.client.HTTPException, ssl.SSLEOFError):
            self.refusals.append(time.monotonic())
        except (OSError, AssertionError) as error:
            self._fail(f"{type(error).__name__}: {error}")

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
        assert pulled == manifest, "another manifest than was pushed"
        _, blob = self._ask("GET", f"blobs/{_digest(layer)}", 200)
        assert blob == layer, "another layer than was pushed"

    def _push_blob(self, content: bytes) -> None:
        location, _ = self._ask("POST", "blobs/uploads/", 202)
        path = location.partition("/v2/")[2].removeprefix(f"{REPOSITORY}/")
        self._ask("PUT", f"{path}&digest={_digest(content)}", 201, content, "application/octet-stream")

    def _ask(
        self, method: str, path: str, status: int, body: bytes = b"", kind: str = MANIFESTS
    ) -> tuple[str, bytes]:
        connection = http.client.HTTPSConnection(
            self.registry.address, context=self.registry.tls(), timeout=20
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
            said = answer.read()
            assert answer.status == status, f"{method} {path}: HTTP {answer.status} {said[:200]!r}"
            return answer.headers.get("Location", ""), said
        finally:
            connection.close()


@dataclass
class HostEngine(Rounds):
    """A host whose engine pulls what that person has pushed last, as the host trusts the registry by then."""

    container: str = field(kw_only=True)
    """The host."""
    registry: str = field(kw_only=True)
    """`host:port`, as the hosts call it."""
    account: tuple[str, str] = field(kw_only=True, repr=False)
    """Name and password."""
    engine_away: int = 0
    """How often the engine itself did not answer, or hung up."""

    def _round(self) -> None:
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
                timeout=60,
            )
        except subprocess.TimeoutExpired:
            self._fail("the engine did not end a pull within a minute")
            return
        said = result.stdout + result.stderr
        if result.returncode or not said:
            self.engine_away += 1
        elif any(word in said for word in AWAY):
            self.refusals.append(time.monotonic())
        elif '"error"' in said or "Status: " not in said:
            self._fail(said.strip().splitlines()[-1])


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
