"""The Docker SDK's client for an endpoint. The SDK is slow to import, so only operations that need it do."""

from typing import Any

import docker
from docker.constants import DEFAULT_DOCKER_API_VERSION, MINIMUM_DOCKER_API_VERSION
from docker.utils import compare_version
from requests.adapters import HTTPAdapter

from plugins.docker.endpoint import Endpoint


class _TlsAdapter(HTTPAdapter):
    """Uses an existing TLS context; the SDK's own adapter needs the key in a file."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._context = endpoint.tls
        super().__init__(pool_maxsize=25)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._context)


def connect(endpoint: Endpoint, api_version: str, timeout: float) -> docker.APIClient:
    """Return a client. `api_version` is the newest version that the engine supports; empty if it is not known."""
    newest = api_version or endpoint.ping() or MINIMUM_DOCKER_API_VERSION
    # The older of the two: this function of the SDK returns 1 if its first argument is the older one.
    version = (
        newest if compare_version(newest, DEFAULT_DOCKER_API_VERSION) == 1 else DEFAULT_DOCKER_API_VERSION
    )
    client = docker.APIClient(endpoint.url, version=version, timeout=int(timeout))
    # An engine is not behind a proxy, and ~/.netrc has no credentials for it.
    client.trust_env = False
    if endpoint.tls is not None:
        client.mount("https://", _TlsAdapter(endpoint))
    return client
