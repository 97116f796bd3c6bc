"""The registry's HTTP API, as the OCI distribution specification has it: catalogue, tags, manifests and blobs."""

import http.client
import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from cli.errors import CommandError
from cli.verify.checks import PATIENCE, Answer, Identity, address, basic, known_to_all, trusting

INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
"""Media types of manifests that list others, one for each platform."""

MANIFESTS = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
"""Media types of manifests of one image."""

PAGE = 100
"""How many names are asked for at a time; the registry may give fewer."""

_SCOPE = re.compile(r"/(manifests|blobs|tags)/.*")
"""What follows a repository's name in a path."""

_NEXT = re.compile(r"<([^>]+)>\s*;\s*rel=\"?next")


class RegistryApi:
    """A registry, for a client that trusts one authority and has one account. Threads may share it.

    Every method raises CommandError where the registry cannot be reached, or answers with an error.
    """

    def __init__(
        self,
        registry: str,
        ca: str,
        account: tuple[str, str],
        identity: Identity | None = None,
        *,
        mode: str = "own",
    ) -> None:
        """Take up no connection yet.

        Args:
            registry: where it answers, `host:port`.
            ca: the authority that its certificate must come from, PEM.
            account: name and password.
            identity: the client's certificate and key, where the registry asks for them.
            mode: `own`; `insecure` for plain HTTP; `external` for someone else's, whose certificate may be one that
                every machine trusts, and who may want tokens in the place of passwords.

        """
        self.address = registry
        self._target = address(registry)
        self._tls = (
            None if mode == "insecure" else known_to_all(ca) if mode == "external" else trusting(ca, identity)
        )
        self._account, self._takes_tokens = account, mode == "external"
        # What it has to be asked with, by repository: a token is for one.
        self._authorizations: dict[str, str] = {}
        # A connection for each thread, kept open: every new one costs a handshake, and there is an image a request.
        self._local = threading.local()

    def repositories(self) -> list[str]:
        """The names of all repositories, those without tags too."""
        return list(self._names("/v2/_catalog", "repositories"))

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository; none if it has none any more."""
        return list(self._names(f"/v2/{repository}/tags/list", "tags"))

    def manifest(self, repository: str, reference: str) -> tuple[str, dict[str, Any]] | None:
        """Digest and manifest (or index) of a tag or digest; None if the registry does not have it."""
        answer = self._get(
            f"/v2/{repository}/manifests/{quote(reference, safe=':')}", ", ".join(sorted(INDEXES | MANIFESTS))
        )
        if answer is None:
            return None
        computed = f"sha256:{sha256(answer.body.encode()).hexdigest()}"
        return _header(answer, "Docker-Content-Digest") or computed, self._json(answer)

    def blob(self, repository: str, digest: str) -> dict[str, Any]:
        """A blob that is JSON, such as an image's configuration; empty if the registry does not have it."""
        answer = self._get(f"/v2/{repository}/blobs/{digest}")
        return self._json(answer) if answer else {}

    def _names(self, path: str, key: str) -> Iterator[str]:
        """All the names of a list that comes in pages. The first page alone is asked for by its size."""
        following: str | None = f"{path}?n={PAGE}"
        asked = set()
        while following and following not in asked:
            asked.add(following)
            answer = self._get(following)
            if answer is None:
                return
            yield from self._json(answer).get(key) or ()
            found = _NEXT.search(_header(answer, "Link"))
            # A proxy may have made an absolute URL of it; the password goes to the registry only.
            parts = urlsplit(found[1]) if found else None
            following = f"{parts.path}?{parts.query}" if parts else None

    def _get(self, path: str, accept: str = "application/json") -> Answer | None:
        """An answer of status 200, or None for 404."""
        try:
            answer = self._ask(path, accept)
        except ssl.SSLCertVerificationError as error:
            raise CommandError(
                f"the registry at {self.address} is not the stack's: {error.verify_message}",
                "See `./slip verify`.",
                status=1,
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(
                f"the registry at {self.address} does not answer: {str(error) or type(error).__name__}",
                "See `./slip verify`.",
                status=1,
            ) from error
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            remedy = (
                "`./slip up` puts the accounts in place." if answer.status == HTTPStatus.UNAUTHORIZED else ""
            )
            raise CommandError(
                f"the registry at {self.address} answers HTTP {answer.status} to {path.partition('?')[0]}",
                remedy,
                status=1,
            )
        return answer

    def _ask(self, path: str, accept: str) -> Answer:
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept:
            # The registry may have closed it meanwhile; then a new one is worth a try.
            with suppress(OSError, http.client.HTTPException):
                return self._exchange(kept, path, accept)
            kept.close()
        self._local.connection = (
            http.client.HTTPSConnection(*self._target, timeout=PATIENCE, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(*self._target, timeout=PATIENCE)
        )
        return self._exchange(self._local.connection, path, accept)

    def _exchange(self, connection: http.client.HTTPConnection, path: str, accept: str) -> Answer:
        scope = _SCOPE.sub("", path)
        authorization = self._authorizations.get(scope) or basic(self._account)
        connection.request("GET", path, headers={"Authorization": authorization, "Accept": accept})
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
        answer = Answer(
            response.status, body, {name.lower(): value for name, value in response.headers.items()}
        )
        if answer.status == HTTPStatus.UNAUTHORIZED and self._tls and self._takes_tokens:
            from cli.running.registry_tokens import token

            own = token(answer, self._account, self._tls)
            if own and scope not in self._authorizations:
                self._authorizations[scope] = own
                return self._exchange(connection, path, accept)
        return answer

    def _json(self, answer: Answer) -> dict[str, Any]:
        try:
            content = json.loads(answer.body)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise CommandError(
                f"what answers at {self.address} is no registry", "See `./slip verify`.", status=1
            )
        return content


def _header(answer: Answer, name: str) -> str:
    return answer.headers.get(name.lower(), "")
