"""The stack's registry over its HTTP API, as a client that trusts the stack's own authority and nobody else."""

import http.client
import json
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from cli.running.http import ClientCertificate, private_files
from cli.running.stack import client_certificate_of

MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Registry:
    """A registry, its authority and an account."""

    address: str
    certificate_authority: str
    account: tuple[str, str] = field(repr=False)
    identity: ClientCertificate | None = field(default=None, repr=False)
    """What the client shows of itself, where it is asked."""

    @classmethod
    def of(cls, outputs: dict[str, Any]) -> "Registry":
        """The registry of a stack with these outputs."""
        account = outputs["registryAccounts"][0]
        return cls(
            outputs["registryPublicAddress"],
            outputs["registryCaCertificate"],
            (account, outputs["registryPasswords"][account]),
            client_certificate_of(outputs, account),
        )

    def tls(self) -> ssl.SSLContext:
        """What its client trusts, and shows."""
        context = ssl.create_default_context(cadata=self.certificate_authority)
        if self.identity:
            with private_files(*self.identity) as (certificate, key):
                context.load_cert_chain(certificate, key)
        return context

    def _ask(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPSConnection(self.address, context=self.tls(), timeout=10)
        try:
            credentials = b64encode(":".join(self.account).encode()).decode()
            headers = {"Authorization": f"Basic {credentials}", "Accept": MANIFESTS}
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers.items()), answer.read()
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether it serves this account."""
        return self._ask("GET", "/v2/")[0] == http.client.OK

    def has(self, repository: str, reference: str) -> bool:
        """Whether it has the manifest of a tag or digest."""
        return self._ask("HEAD", f"/v2/{repository}/manifests/{reference}")[0] == http.client.OK

    def images(self) -> set[tuple[str, str]]:
        """Every tagged image it has, each as its repository and digest."""
        found = set()
        for repository in json.loads(self._ask("GET", "/v2/_catalog?n=1000")[2])["repositories"]:
            tags = json.loads(self._ask("GET", f"/v2/{repository}/tags/list")[2])["tags"] or []
            for tag in tags:
                _, headers, _ = self._ask("HEAD", f"/v2/{repository}/manifests/{tag}")
                found.add((repository, headers["Docker-Content-Digest"]))
        return found

    def lacks(self, images: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of the images that it does not have."""
        return {image for image in images if not self.has(*image)}
