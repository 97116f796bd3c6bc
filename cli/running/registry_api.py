"""The client of registries: catalogue, tags, manifests and blobs (OCI distribution specification)."""

import http.client
import json
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import new as new_hash
from hashlib import sha256
from http import HTTPStatus
from types import MappingProxyType
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

PIECE = 1 << 18
"""Bytes of a blob that are in memory at a time."""
BLOB_PATIENCE = 120
"""Seconds that one piece of a blob may take, and the registry's check of the whole."""
_REDIRECTS = 4

_SCOPE = re.compile(r"/(manifests|blobs|tags|referrers)/.*")
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


class Refused(CommandError):
    """A registry has answered with an error."""

    def __init__(self, message: str, remedy: str, code: int) -> None:
        """Keep the status of the HTTP response."""
        super().__init__(message, remedy, status=1)
        self.code = code


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
        return (json_object(response.body) or {}) if response else {}

    def blob_size(self, repository: str, digest: str) -> int | None:
        """The size of a blob that a repository has, bytes; None if it does not have it."""
        response = self._get(f"/v2/{repository}/blobs/{digest}", method="HEAD")
        length = response.header("Content-Length") if response else None
        return (
            int(length) if length and length.isascii() and length.isdecimal() else (0 if response else None)
        )

    def manifest_text(self, repository: str, reference: str) -> tuple[str, str] | None:
        """Media type and text of a manifest or an index, to the letter; None if the registry does not have it."""
        response = self._get(
            f"/v2/{repository}/manifests/{quote(reference, safe=':')}",
            ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES)),
        )
        return (response.header("Content-Type"), response.body) if response else None

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """The manifests that refer to one: signatures, attestations. None from a registry that does not list them."""
        response = self._retried(f"/v2/{repository}/referrers/{digest}", "GET")
        found = json_object(response.body) if response.status == HTTPStatus.OK else None
        listed = found.get("manifests") if found else None
        return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []

    def lists_referrers(self, repository: str) -> bool:
        """Whether the registry lists what refers to a manifest. Distribution does not."""
        response = self._retried(f"/v2/{repository}/referrers/sha256:{'0' * 64}", "GET")
        return response.status == HTTPStatus.OK

    @contextmanager
    def pieces(self, repository: str, digest: str) -> Iterator[Iterator[bytes]]:
        """The content of a blob, piece by piece, over a connection of its own.

        The iterator raises CommandError at its end if the content has another digest.
        """
        connection, response = self._open_blob(f"/v2/{repository}/blobs/{digest}")
        try:
            yield _verified(response, digest, self.address)
        finally:
            connection.close()

    def push_blob(self, repository: str, digest: str, size: int, content: Iterator[bytes]) -> None:
        """Push a blob, piece by piece, over a connection of its own. The registry checks its digest, too."""
        begun = self._expect(
            self._retried(f"/v2/{repository}/blobs/uploads/", "POST"), HTTPStatus.ACCEPTED, repository
        )
        # Only path and query count: the content goes to the registry itself.
        parts = urlsplit(urljoin(f"/v2/{repository}/blobs/uploads/", begun.header("Location")))
        path = f"{parts.path}?{parts.query + '&' if parts.query else ''}digest={quote(digest, safe=':')}"
        connection = connection_to(*self._target, self._tls)
        connection.timeout = BLOB_PATIENCE
        headers = {
            **self._authorization(_SCOPE.sub("", f"/v2/{repository}/blobs/")),
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
        }
        try:
            self._expect(exchange(connection, path, headers, "PUT", content), HTTPStatus.CREATED, repository)
        except (OSError, http.client.HTTPException) as error:
            raise self._silence(error) from error
        finally:
            connection.close()

    def push_manifest(self, repository: str, reference: str, media_type: str, text: str) -> bool:
        """Push a manifest or an index, whose blobs or manifests the registry has already, by its tag or digest.

        Returns whether the registry lists it from now on as what refers to its `subject`.
        """
        path = f"/v2/{repository}/manifests/{quote(reference, safe=':')}"
        pushed = self._retried(path, "PUT", text.encode(), {"Content-Type": media_type})
        return bool(self._expect(pushed, HTTPStatus.CREATED, repository).header("OCI-Subject"))

    def ask(
        self,
        path: str,
        accept: str = "application/json",
        method: str = "GET",
        *,
        body: bytes | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> Response:
        """The registry's response to a request, whatever its status; with a token where the registry wants one.

        Raises:
            OSError: the connection failed, or TLS refused it.
            http.client.HTTPException: the response is not HTTP.

        """
        open_already: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if open_already:
            # The registry may have closed it since; then a new connection is worth a try.
            with suppress(OSError, http.client.HTTPException):
                return self._exchange(open_already, path, accept, method, body, more)
            open_already.close()
        self._local.connection = connection_to(*self._target, self._tls)
        self._connections.append(self._local.connection)
        return self._exchange(self._local.connection, path, accept, method, body, more)

    def _open_blob(self, path: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        # A token for this repository, where the registry wants one; what it answers is not read.
        self._retried(path, "HEAD")
        connection = connection_to(*self._target, self._tls)
        headers = self._authorization(_SCOPE.sub("", path))
        status = 0
        for _ in range(_REDIRECTS):
            connection.timeout = BLOB_PATIENCE
            try:
                connection.request("GET", path, headers=headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise self._silence(error) from error
            if response.status == HTTPStatus.OK:
                return connection, response
            connection.close()
            status = response.status
            parts = urlsplit(response.headers.get("Location", ""))
            if not (300 <= status < 400 and self._takes_tokens and parts.scheme == "https"):
                break
            # Registries of a cloud keep their blobs elsewhere: no account goes there.
            connection = connection_to(parts.hostname or "", parts.port, system_tls_context())
            path, headers = f"{parts.path}?{parts.query}" if parts.query else parts.path, {}
        raise self._unexpected(status, path)

    def _retried(
        self,
        path: str,
        method: str,
        body: bytes | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> Response:
        try:
            return self.ask(path, method=method, body=body, more=more)
        except (OSError, http.client.HTTPException) as error:
            raise self._silence(error) from error

    def _expect(self, response: Response, status: HTTPStatus, repository: str) -> Response:
        if response.status != status:
            raise self._unexpected(response.status, f"a push to {repository}")
        return response

    def _unexpected(self, status: int, path: str) -> Refused:
        remedy = "`./slip up` puts the accounts in place." if status == HTTPStatus.UNAUTHORIZED else ""
        said = f"the registry at {self.address} answers HTTP {status} to {path.partition('?')[0]}"
        return Refused(said, remedy, status)

    def _silence(self, error: Exception) -> CommandError:
        return CommandError(
            f"the registry at {self.address} does not answer: {str(error) or type(error).__name__}",
            "`./slip verify` shows what is wrong.",
            status=1,
        )

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
            raise self._silence(error) from error
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if response.status != HTTPStatus.OK:
            raise self._unexpected(response.status, path)
        return response

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        accept: str,
        method: str,
        body: bytes | None,
        more: Mapping[str, str],
    ) -> Response:
        scope, sent = _SCOPE.sub("", path), {"Accept": accept, **more}
        response = exchange(connection, path, {**sent, **self._authorization(scope)}, method, body)
        if (
            response.status == HTTPStatus.UNAUTHORIZED
            and self._account
            and self._tls
            and self._takes_tokens
            and (fresh := token(response, self._account, self._tls))
        ):
            self._tokens[scope] = fresh
            response = exchange(connection, path, {**sent, **self._authorization(scope)}, method, body)
        return response

    def _authorization(self, scope: str) -> dict[str, str]:
        if not self._account:
            return {}
        return {"Authorization": self._tokens.get(scope) or basic_authorization(self._account)}

    def _json(self, response: Response) -> dict[str, Any]:
        content = json_object(response.body)
        if content is None:
            raise CommandError(
                f"the server at {self.address} is not a registry: its response is not a JSON object",
                "`./slip verify` shows what is wrong.",
                status=1,
            )
        return content


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is; None if it is none. Whoever may push may have pushed anything."""
    try:
        content = json.loads(text)
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


def _verified(response: http.client.HTTPResponse, digest: str, address: str) -> Iterator[bytes]:
    seen = new_hash(digest.partition(":")[0])
    while piece := response.read(PIECE):
        seen.update(piece)
        yield piece
    if seen.hexdigest() != digest.partition(":")[2]:
        raise CommandError(
            f"the registry at {address} gives another content for the blob {digest[:19]}",
            "`./slip verify` shows what is wrong; `./slip repair` pushes images again.",
            status=1,
        )
