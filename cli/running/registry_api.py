"""The client of registries: catalogue, tags, manifests and blobs (OCI distribution specification)."""

import http.client
import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote, urljoin, urlsplit

from cli.errors import CommandError
from cli.running.http import (
    Account,
    ClientCertificate,
    Response,
    basic_authorization,
    connection_to,
    exchange,
    system_tls_context,
    tls_context,
)
from cli.running.registry_tokens import token

INDEX_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
"""Media types of manifests that list others, one for each platform."""

MANIFEST_TYPES = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
"""Media types of manifests of one image."""

PAGE = 100
"""How many names are requested at a time; the registry may return fewer."""

_SCOPE = re.compile(r"/(manifests|blobs|tags)/.*")
"""What follows a repository's name in a path."""

_LINK = re.compile(r"<([^>]*)>([^<]*)")
_RELATION = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)


@dataclass(frozen=True)
class RegistryEndpoint:
    """How a client reaches a registry, and authenticates."""

    address: str
    """`host:port`; an IPv6 address is in brackets."""
    ca: str
    """The certificate authority of the registry's certificate, PEM; empty for none."""
    account: Account | None = field(default=None, repr=False)
    client_certificate: ClientCertificate | None = field(default=None, repr=False)
    """The certificate to present, where the registry asks for one."""
    mode: str = "own"
    """`own`; `insecure` for plain HTTP; `external` for a registry outside the stack, whose certificate may come from an
    authority that this machine trusts, and which may want a token in place of the password."""

    @property
    def target(self) -> tuple[str, int]:
        """Host and port. Docker Hub's API has another host name than its images."""
        text = "registry-1.docker.io" if self.address == "docker.io" else self.address
        parts = urlsplit(f"//{text}")
        return parts.hostname or "", parts.port or 443

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The client's TLS settings; None for plain HTTP."""
        if self.mode == "insecure":
            return None
        if self.mode == "external":
            return system_tls_context(self.ca)
        return tls_context(self.ca, self.client_certificate)


class RegistryApi:
    """A client of one registry. Several threads may share it.

    Every method but `ask` raises CommandError where the registry does not answer, or answers with an error.
    """

    def __init__(self, endpoint: RegistryEndpoint) -> None:
        """Open no connection yet."""
        self.address = endpoint.address
        self._target, self._tls = endpoint.target, endpoint.tls
        self._account, self._takes_tokens = endpoint.account, endpoint.mode == "external"
        # By repository, since a token is valid for one.
        self._tokens: dict[str, str] = {}
        # One open connection per thread: each new connection costs a handshake, and each image is one request.
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        """Use the client for one block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections of all threads."""
        for connection in self._connections:
            connection.close()

    def repositories(self) -> Iterator[str]:
        """The names of all repositories, including those without tags."""
        return self._names("/v2/_catalog", "repositories")

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository; none for a repository that the registry does not have."""
        return list(self._names(f"/v2/{repository}/tags/list", "tags"))

    def manifest(self, repository: str, reference: str) -> tuple[str, dict[str, Any]] | None:
        """Digest and manifest (or index) of a tag or digest; None if the registry does not have it."""
        response = self._get(
            f"/v2/{repository}/manifests/{quote(reference, safe=':')}",
            ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES)),
        )
        if response is None:
            return None
        computed = f"sha256:{sha256(response.body.encode()).hexdigest()}"
        return response.header("Docker-Content-Digest") or computed, self._json(response)

    def blob(self, repository: str, digest: str) -> dict[str, Any]:
        """A blob that is JSON, such as an image's configuration; empty if it is not there, or no JSON object.

        Whoever may push may have pushed anything.
        """
        response = self._get(f"/v2/{repository}/blobs/{digest}")
        return (_object(response) or {}) if response else {}

    def blob_size(self, repository: str, digest: str) -> int | None:
        """The size of a blob that a repository has, bytes; None if it does not have it."""
        response = self._get(f"/v2/{repository}/blobs/{digest}", method="HEAD")
        length = response.header("Content-Length") if response else None
        return (
            int(length) if length and length.isascii() and length.isdecimal() else (0 if response else None)
        )

    def ask(self, path: str, accept: str = "application/json", method: str = "GET") -> Response:
        """The registry's response to a request, whatever its status; with a token where the registry wants one.

        Raises:
            OSError: the connection failed, or TLS refused it.
            http.client.HTTPException: the response is not HTTP.

        """
        open_already: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if open_already:
            # The registry may have closed it since; then a new connection is worth a try.
            with suppress(OSError, http.client.HTTPException):
                return self._exchange(open_already, path, accept, method)
            open_already.close()
        self._local.connection = connection_to(*self._target, self._tls)
        self._connections.append(self._local.connection)
        return self._exchange(self._local.connection, path, accept, method)

    def _names(self, path: str, key: str) -> Iterator[str]:
        """All names of a list that comes in pages. Only the first page is requested with a size."""
        following = f"{path}?n={PAGE}"
        requested = set()
        while following and following not in requested:
            requested.add(following)
            response = self._get(following)
            if response is None:
                return
            yield from self._json(response).get(key) or ()
            following = next_page(response.header("Link"), following)

    def _get(self, path: str, accept: str = "application/json", method: str = "GET") -> Response | None:
        """A response of status 200, or None for 404."""
        try:
            response = self.ask(path, accept, method)
        except ssl.SSLCertVerificationError as error:
            raise CommandError(
                f"the certificate of the registry at {self.address} is not trusted: {error.verify_message}",
                "`./slip verify` shows what is wrong.",
                status=1,
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(
                f"the registry at {self.address} does not answer: {str(error) or type(error).__name__}",
                "`./slip verify` shows what is wrong.",
                status=1,
            ) from error
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if response.status != HTTPStatus.OK:
            remedy = (
                "`./slip up` puts the accounts in place."
                if response.status == HTTPStatus.UNAUTHORIZED
                else ""
            )
            raise CommandError(
                f"the registry at {self.address} answers HTTP {response.status} to {path.partition('?')[0]}",
                remedy,
                status=1,
            )
        return response

    def _exchange(
        self, connection: http.client.HTTPConnection, path: str, accept: str, method: str
    ) -> Response:
        scope = _SCOPE.sub("", path)
        response = exchange(connection, path, {"Accept": accept, **self._authorization(scope)}, method)
        if (
            response.status == HTTPStatus.UNAUTHORIZED
            and self._account
            and self._tls
            and self._takes_tokens
            and (fresh := token(response, self._account, self._tls))
        ):
            self._tokens[scope] = fresh
            response = exchange(connection, path, {"Accept": accept, **self._authorization(scope)}, method)
        return response

    def _authorization(self, scope: str) -> dict[str, str]:
        if not self._account:
            return {}
        return {"Authorization": self._tokens.get(scope) or basic_authorization(self._account)}

    def _json(self, response: Response) -> dict[str, Any]:
        content = _object(response)
        if content is None:
            raise CommandError(
                f"the server at {self.address} is not a registry: its response is not a JSON object",
                "`./slip verify` shows what is wrong.",
                status=1,
            )
        return content


def _object(response: Response) -> dict[str, Any] | None:
    """The JSON object in a response; None if it is none."""
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def next_page(link: str, path: str) -> str:
    """The path and query of the next page by a `Link` header (RFC 8288), empty for the last page.

    Only the path counts: a proxy may have made an absolute URL of it, and the password goes to the registry only.

    Args:
        link: the header's value.
        path: the path of the page that came with it, for a relative link.

    """
    for url, parameters in _LINK.findall(link):
        relation = _RELATION.search(parameters)
        if relation and "next" in (relation[1] or relation[2]).lower().split():
            parts = urlsplit(urljoin(path, url))
            return f"{parts.path}?{parts.query}" if parts.query else parts.path
    return ""
