"""A client that pushes and pulls images of random content over a registry's HTTP API, and checks every byte."""

import http.client
import json
import os
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.registry import Registry
from tests.support.tls import tls_context
from tests.support.waiting import ANSWER

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Refused(Exception):
    """The registry answered with another status than expected."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP {status}: {body.decode(errors='replace')[:300]}")
        self.status = status


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Pushed:
    """A manifest that the registry has acknowledged."""

    repository: str
    digest: str
    media_type: str
    size: int
    tag: str = ""

    @property
    def descriptor(self) -> dict[str, Any]:
        """How another manifest refers to it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass
class Client:
    """One client with one connection at a time. Not for two threads at once."""

    address: str
    """`host:port`."""
    account: tuple[str, str] | None = None
    certificate_authority: str = ""
    """PEM; empty for plain HTTP."""
    identity: tuple[str, str] | None = field(default=None, repr=False)
    """The client's certificate and key, PEM, for a registry that asks for one."""
    keep_alive: bool = True
    """Whether the connection stays open for the next request."""
    _connection: http.client.HTTPConnection | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, registry: Registry, *, keep_alive: bool = True) -> Self:
        """A client of this registry."""
        return cls(
            registry.address, registry.account, registry.certificate_authority, registry.identity, keep_alive
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """The answer to a request, whatever its status.

        Raises:
            OSError, http.client.HTTPException: no answer came.
        """
        if self._connection is None:
            self._connection = self._open()
        if self.account:
            headers["Authorization"] = f"Basic {b64encode(':'.join(self.account).encode()).decode()}"
        try:
            self._connection.request(
                method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
            )
            answer = self._connection.getresponse()
            headers = {name.lower(): value for name, value in answer.headers.items()}
            result = Answer(answer.status, headers, answer.read())
        except BaseException:
            self.close()
            raise
        if not self.keep_alive:
            self.close()
        return result

    def _open(self) -> http.client.HTTPConnection:
        if not self.certificate_authority:
            return http.client.HTTPConnection(self.address, timeout=ANSWER)
        context = tls_context(self.certificate_authority, self.identity)
        return http.client.HTTPSConnection(self.address, context=context, timeout=ANSWER)

    def need(self, status: int, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """The answer to a request, which must have this status.

        Raises:
            Refused: the answer has another status.
        """
        answer = self.ask(method, path, body, **headers)
        if answer.status != status:
            raise Refused(answer.status, answer.body)
        return answer

    def begin_upload(self, repository: str) -> str:
        """Begin a new blob. Returns the path that its content goes to."""
        return _location(self.need(http.client.ACCEPTED, "POST", f"/v2/{repository}/blobs/uploads/"))

    def continue_upload(self, path: str, content: bytes) -> str:
        """Push a part of a blob. Returns the path that the next part goes to."""
        return _location(self.need(http.client.ACCEPTED, "PATCH", path, content))

    def push_blob(self, repository: str, content: bytes) -> dict[str, Any]:
        """Push a blob in two requests. Returns its descriptor, without a media type."""
        digest = f"sha256:{sha256(content).hexdigest()}"
        path = f"{self.begin_upload(repository)}&digest={digest}"
        self.need(http.client.CREATED, "PUT", path, content, Content_Type="application/octet-stream")
        return {"digest": digest, "size": len(content)}

    def push_manifest(self, repository: str, manifest: dict[str, Any], tag: str = "") -> Pushed:
        """Push a manifest, by its digest alone or under a tag."""
        content = json.dumps(manifest, indent=2).encode()
        digest, media_type = f"sha256:{sha256(content).hexdigest()}", manifest["mediaType"]
        path = f"/v2/{repository}/manifests/{tag or digest}"
        self.need(http.client.CREATED, "PUT", path, content, Content_Type=media_type)
        return Pushed(repository, digest, media_type, len(content), tag)

    def push(
        self,
        repository: str,
        tag: str = "",
        *,
        layers: Sequence[bytes] = (),
        size: int = 4096,
        subject: Pushed | None = None,
    ) -> Pushed:
        """Push an image: these layers (tar archives, for an engine), or one of `size` random bytes."""
        pushed = [
            {"mediaType": LAYER} | self.push_blob(repository, content)
            for content in layers or [os.urandom(size)]
        ]
        rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in pushed]}
        config = json.dumps(
            {"os": "linux", "architecture": "amd64", "rootfs": rootfs, "random": os.urandom(8).hex()}
        ).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": {"mediaType": CONFIG} | self.push_blob(repository, config),
            "layers": pushed,
        }
        return self.push_manifest(
            repository, manifest | ({"subject": subject.descriptor} if subject else {}), tag
        )

    def push_index(self, repository: str, tag: str, platforms: Sequence[Pushed]) -> Pushed:
        """Push an index of images that the registry has already."""
        manifests = [
            one.descriptor | {"platform": {"os": "linux", "architecture": "amd64"}} for one in platforms
        ]
        return self.push_manifest(
            repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, tag
        )

    def pull(self, repository: str, reference: str) -> str:
        """Pull an image, an index with all its platforms, and check every byte. Returns the digest.

        Raises:
            Refused: a part of the image is missing.
        """
        accept = f"{IMAGE}, {INDEX}"
        answer = self.need(http.client.OK, "GET", f"/v2/{repository}/manifests/{reference}", Accept=accept)
        digest = f"sha256:{sha256(answer.body).hexdigest()}"
        assert answer.headers["docker-content-digest"] == digest
        assert ":" not in reference or reference == digest
        manifest = json.loads(answer.body)
        for platform in manifest.get("manifests", []):
            self.pull(repository, platform["digest"])
        for blob in [manifest[key] for key in ("config",) if key in manifest] + manifest.get("layers", []):
            content = self.need(http.client.OK, "GET", f"/v2/{repository}/blobs/{blob['digest']}").body
            assert f"sha256:{sha256(content).hexdigest()}" == blob["digest"]
        return digest

    def has(self, image: Pushed) -> bool:
        """Whether the registry has a manifest."""
        path = f"/v2/{image.repository}/manifests/{image.digest}"
        return self.ask("HEAD", path, Accept=image.media_type).status == http.client.OK

    def tags(self, repository: str) -> set[str]:
        """The tags of a repository."""
        return set(
            json.loads(self.need(http.client.OK, "GET", f"/v2/{repository}/tags/list").body)["tags"] or []
        )


def _location(answer: Answer) -> str:
    parts = urlsplit(answer.headers["location"])
    return f"{parts.path}?{parts.query}"
