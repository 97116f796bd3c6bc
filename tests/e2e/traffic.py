"""Somebody who pushes to a registry and pulls from it all the time, and counts what goes wrong."""

import hashlib
import http.client
import json
import ssl
import threading
import time
from base64 import b64encode
from dataclasses import dataclass, field

from tests.e2e.registry import MANIFESTS, Registry

REPOSITORY = "traffic"
"""The repository that is pushed to."""
PAUSE = 0.05
"""Seconds between one round and the next: the machine has more to do."""


@dataclass
class Traffic:
    """Rounds of a push and a pull, each over connections of its own, for as long as the block runs.

    A round that meets a registry that refuses the connection, or hangs up, is noted as such: it is only just starting.
    """

    registry: Registry
    """The registry; its authority is asked for anew for each round, since people's may change."""
    rounds: int = 0
    failures: list[str] = field(default_factory=list)
    """What went wrong otherwise: trust, access, content."""
    refusals: list[float] = field(default_factory=list)
    """When the registry refused a connection, or hung up, by the clock."""

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    @property
    def away(self) -> float:
        """Seconds between the first and the last refusal."""
        return self.refusals[-1] - self.refusals[0] if self.refusals else 0.0

    def _run(self) -> None:
        while not self._ended.wait(PAUSE):
            self.rounds += 1
            try:
                self._round(f"round {self.rounds} at {time.time()}".encode())
            except ssl.SSLCertVerificationError as error:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {error.verify_message}")
            except (ConnectionError, http.client.HTTPException, ssl.SSLEOFError):
                self.refusals.append(time.monotonic())
            except (OSError, AssertionError) as error:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {error}")

    def _round(self, content: bytes) -> None:
        """Push an image with one layer, and pull it."""
        layer, config = _digest(content), b"{}"
        for blob in (content, config):
            self._push_blob(blob)
        kind = "application/vnd.oci.image"
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{kind}.manifest.v1+json",
                "config": {
                    "mediaType": f"{kind}.config.v1+json",
                    "digest": _digest(config),
                    "size": len(config),
                },
                "layers": [{"mediaType": f"{kind}.layer.v1.tar", "digest": layer, "size": len(content)}],
            }
        ).encode()
        self._ask("PUT", "manifests/latest", 201, manifest, f"{kind}.manifest.v1+json")
        _, pulled = self._ask("GET", "manifests/latest", 200)
        assert pulled == manifest, "another manifest than was pushed"
        _, blob = self._ask("GET", f"blobs/{layer}", 200)
        assert blob == content, "another layer than was pushed"

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


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
