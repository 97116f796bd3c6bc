"""The Docker SDK's client for an endpoint: imported on the first operation that needs it, for it takes a while."""

from typing import Any

import docker
from docker.constants import DEFAULT_DOCKER_API_VERSION, MINIMUM_DOCKER_API_VERSION
from docker.utils import compare_version
from requests.adapters import HTTPAdapter

from plugins.docker.endpoint import Endpoint


class _TlsAdapter(HTTPAdapter):
    """Speaks TLS by a context that is ready: the SDK's own wants the key to stay in a file."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._context = endpoint.tls
        super().__init__(pool_maxsize=25)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._context)


def connect(endpoint: Endpoint, api_version: str, timeout: float) -> docker.APIClient:
    """Return a client; `api_version` is the newest that the engine speaks, if that is known."""
    newest = api_version or endpoint.ping() or MINIMUM_DOCKER_API_VERSION
    # The older of the two; this function of the SDK says 1 where its first argument is older.
    version = (
        newest if compare_version(newest, DEFAULT_DOCKER_API_VERSION) == 1 else DEFAULT_DOCKER_API_VERSION
    )
    client = docker.APIClient(endpoint.url, version=version, timeout=int(timeout))
    # The engine is never behind a proxy, and netrc is for other things.
    client.trust_env = False
    if endpoint.tls is not None:
        client.mount("https://", _TlsAdapter(endpoint))
    return client
