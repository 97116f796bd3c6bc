"""A stack's registry over its HTTP API, for a client that trusts the stack's own authority only."""

import http.client
import json
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from tests.support.tls import tls_context
from tests.support.waiting import ANSWER

MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json"
)


@dataclass(frozen=True)
class Registry:
    """A registry, its authority and an account."""

    address: str
    certificate_authority: str
    account: tuple[str, str] = field(repr=False)
    identity: tuple[str, str] | None = field(default=None, repr=False)
    """The client's certificate and key, PEM, for a registry that asks for one."""

    @classmethod
    def of(cls, outputs: dict[str, Any]) -> "Registry":
        """The registry of a stack with these outputs."""
        account = outputs["registryAccounts"][0]
        certificates = outputs.get("registryClientCertificates") or {}
        identity = (certificates[account], outputs["registryClientKeys"][account]) if certificates else None
        return cls(
            outputs["registryPublicAddress"],
            outputs["registryCaCertificate"],
            (account, outputs["registryPasswords"][account]),
            identity,
        )

    def tls(self) -> ssl.SSLContext:
        """TLS for its clients."""
        return tls_context(self.certificate_authority, self.identity)

    def _ask(self, method: str, path: str) -> tuple[int, Message, bytes]:
        connection = http.client.HTTPSConnection(self.address, context=self.tls(), timeout=ANSWER)
        try:
            credentials = b64encode(":".join(self.account).encode()).decode()
            headers = {"Authorization": f"Basic {credentials}", "Accept": MANIFESTS}
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether it serves this account."""
        return self.status() == http.client.OK

    def status(self, method: str = "GET", path: str = "/v2/") -> int:
        """The status of its answer to a request of this account."""
        return self._ask(method, path)[0]

    def has(self, repository: str, reference: str) -> bool:
        """Whether it has the manifest of a tag or digest."""
        return self._ask("HEAD", f"/v2/{repository}/manifests/{reference}")[0] == http.client.OK

    def layers(self, repository: str, digest: str) -> list[str]:
        """The digests of an image's layers."""
        manifest = json.loads(self._ask("GET", f"/v2/{repository}/manifests/{digest}")[2])
        return [layer["digest"] for layer in manifest["layers"]]

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """What refers to an image, by the tag that stands for the list (OCI distribution specification)."""
        status, _, body = self._ask("GET", f"/v2/{repository}/manifests/{digest.replace(':', '-')}")
        found: list[dict[str, Any]] = json.loads(body)["manifests"] if status == http.client.OK else []
        return found

    def images(self) -> set[tuple[str, str]]:
        """Every tagged image it has, each as its repository and digest."""
        found = set()
        for repository in json.loads(self._ask("GET", "/v2/_catalog?n=1000")[2])["repositories"]:
            tags = json.loads(self._ask("GET", f"/v2/{repository}/tags/list")[2])["tags"] or []
            for tag in tags:
                # The list of what refers to an image is none.
                if tag.startswith("sha256-"):
                    continue
                _, headers, _ = self._ask("HEAD", f"/v2/{repository}/manifests/{tag}")
                found.add((repository, headers["Docker-Content-Digest"]))
        return found

    def lacks(self, images: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of the images that it does not have."""
        return {image for image in images if not self.has(*image)}
