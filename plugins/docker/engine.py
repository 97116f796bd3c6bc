"""A Docker Engine as the resources use it: the SDK's client, the registries' accounts, and its errors in words."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from plugins.docker.endpoint import Endpoint, candidates
from plugins.docker.stream import StalledError, Watch, watched
from plugins.protocol.messages import Failure
from plugins.protocol.properties import Properties, plain

if TYPE_CHECKING:
    from docker import APIClient

REQUEST_TIMEOUT = 600
"""Seconds that the engine may take for a request that is no stream; a busy engine can be slow."""

_RETRY_SECONDS = 30.0
_POLL_SECONDS = 0.2


class Account(NamedTuple):
    """An account at a registry."""

    username: str
    password: str


class NotFoundError(Exception):
    """The engine does not have the object."""


class EngineError(Exception):
    """The engine refused the request; the text is the engine's."""


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn the SDK's errors into `NotFoundError` and `EngineError`, with the texts of Docker's own client."""
    from docker.errors import APIError, DockerException
    from requests import RequestException

    try:
        yield
    except APIError as error:
        text = f"Error response from daemon: {(error.explanation or str(error)).strip()}"
        raise NotFoundError(text) if error.status_code == 404 else EngineError(text) from error
    except (RequestException, DockerException) as error:
        raise EngineError(f"error during connect: {error}") from error


class Engine:
    """One Docker Engine."""

    def __init__(self, settings: Properties) -> None:
        """Take a provider's arguments, without a request to the engine. Failure if they are invalid."""
        texts = {name: plain(value) for name, value in settings.items() if isinstance(plain(value), str)}
        self._candidates = candidates(texts)
        self._endpoint: Endpoint | None = None
        self._api_version = ""
        self._client: APIClient | None = None
        self._lock = threading.Lock()
        self.accounts = _accounts(texts.get("registryAuth", ""))

    @property
    def address(self) -> str:
        """The engine's address, or the addresses that were tried, for messages."""
        return " or ".join(
            endpoint.host for endpoint in ([self._endpoint] if self._endpoint else self._candidates)
        )

    def find(self) -> None:
        """Choose the first engine that answers; OSError, with the reasons, if none does."""
        problems = []
        for endpoint in self._candidates:
            try:
                self._api_version = endpoint.ping()
            except OSError as error:
                problems.append(str(error.strerror or error))
            else:
                self._endpoint = endpoint
                return
        raise ConnectionError("; ".join(problems))

    @property
    def client(self) -> "APIClient":
        """The SDK's client, made on first use."""
        with self._lock:
            if self._client is None:
                if self._endpoint is None:
                    self._endpoint = self._candidates[0]
                from plugins.docker.client import connect

                with engine_errors():
                    self._client = connect(self._endpoint, self._api_version, REQUEST_TIMEOUT)
            return self._client

    def account_for(self, image: str) -> Account | None:
        """Return the provider's account at the registry of `image`; None means Docker's own configuration."""
        return self.accounts.get(registry_of(image))

    def local_image(self, name: str) -> Properties | None:
        """Return the engine's description of the image `name` (a tag, a digest or an id), or None if it is missing."""
        try:
            with engine_errors():
                image: Properties = self.client.inspect_image(name)  # type: ignore[no-untyped-call]
        except NotFoundError:
            return None
        return image

    def image(self, name: str, *, platform: str | None = None, watch: Watch | None = None) -> Properties:
        """Return the image `name`, and pull it first if the engine lacks it; EngineError if that fails."""
        if not name:
            raise EngineError("empty image name is not allowed")
        found = self.local_image(name)
        if found is not None:
            return found
        try:
            self.pull(name, self.account_for(name), platform=platform, watch=watch)
        except (EngineError, NotFoundError) as error:
            raise EngineError(f"unable to pull image {name}: error pulling image {name}: {error}") from error
        found = self.local_image(name)
        if found is None:
            raise EngineError(f"unable to find or pull image {name}")
        return found

    def pull(
        self, name: str, account: Account | None, *, platform: str | None = None, watch: Watch | None = None
    ) -> None:
        """Pull the image `name`; EngineError or NotFoundError if that fails, or makes no progress for long."""
        client = self.client

        def start() -> Iterator[Mapping[str, Any]]:
            yield from client.pull(
                name,
                stream=True,
                decode=True,
                auth_config=account and account._asdict(),
                platform=platform,
            )

        with engine_errors():
            try:
                for message in watched(start, f"the pull of {name}", watch):
                    if "error" in message:
                        raise EngineError(str(message["error"]))
            except StalledError as error:
                raise EngineError(str(error)) from None


def registry_of(image: str) -> str:
    """Return the registry (`host:port`) in an image's name; Docker Hub's if the name has none."""
    first, slash, _ = image.partition("/")
    has_registry = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    return registry_key(first if has_registry else "docker.io")


def registry_key(address: str) -> str:
    """Return a registry's address without scheme and path; all of Docker Hub's addresses become `docker.io`."""
    host = address.partition("://")[2] or address
    host = host.partition("/")[0]
    return (
        "docker.io"
        if host in ("index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
        else host
    )


def _accounts(registry_auth: str) -> Mapping[str, Account]:
    """Return the accounts in a provider's `registryAuth`, which Pulumi sends as JSON, by registry."""
    return {
        registry_key(entry["address"]): Account(entry["username"], entry.get("password", ""))
        for entry in json.loads(registry_auth or "[]")
        if entry.get("username")
    }


def failure(text: str) -> Failure:
    """Return a failure in the form of Terraform's SDK, which lists errors."""
    return Failure(f"1 error occurred:\n\t* {text}\n\n")


def retry_while(obstacle: str, action: Callable[[], object]) -> None:
    """Repeat `action` for half a minute, as long as the engine's error contains `obstacle`."""
    until = time.monotonic() + _RETRY_SECONDS
    while True:
        try:
            with engine_errors():
                action()
        except EngineError as error:
            if obstacle not in str(error) or time.monotonic() > until:
                raise
        else:
            return
        time.sleep(_POLL_SECONDS)


def labels_of(pairs: list[dict[str, Any]] | None) -> dict[str, str]:
    """Return labels in the engine's form."""
    return {pair["label"]: pair["value"] for pair in pairs or []}


def label_pairs(labels: Mapping[str, str] | None) -> list[dict[str, str]]:
    """Return labels in a resource's form, in a set's order."""
    return [{"label": label, "value": value} for label, value in sorted((labels or {}).items())]
