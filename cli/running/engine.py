"""Clients of Docker Engines, with mutual TLS where the engine asks for it. Importing this takes a tenth of a second."""

import contextlib
import os
from collections.abc import Iterator

import docker.errors
import requests
from docker import APIClient
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env

from cli.running import leftover_keys
from cli.running.http import private_files
from toolchain import docker_config, docker_socket

ERRORS = (docker.errors.DockerException, requests.RequestException, OSError)
"""The exceptions of a request to an engine."""


CONNECT_PATIENCE = 6
"""Seconds until an engine must have answered for the first time."""


class _DirectClient(APIClient):
    """A client that ignores the environment's settings for proxies and certificate authorities.

    An engine is reached directly, and only its own authority counts. Otherwise REQUESTS_CA_BUNDLE would replace it.
    """

    @property
    def trust_env(self) -> bool:
        """What requests reads before it looks at the environment; it also tries to set it."""
        return False

    @trust_env.setter
    def trust_env(self, _: bool) -> None:
        pass


@contextlib.contextmanager
def connected(
    address: str, *, ca: str = "", certificate: str = "", key: str = "", timeout: int = 60
) -> Iterator[APIClient]:
    """A client of the engine at `address` (`tcp://…`); of the operator's own engine for an empty address.

    Args:
        address: as in DOCKER_HOST.
        ca: the authority of the engine's certificate, PEM.
        certificate: the client certificate, PEM.
        key: its private key, PEM.
        timeout: seconds that any one response may take.

    Raises:
        one of ERRORS: the engine does not answer, or refuses the client.

    """
    # The client asks for the version at once: an engine that does not answer is known before the first long request.
    first = min(timeout, CONNECT_PATIENCE)
    leftover_keys.sweep()
    with contextlib.ExitStack() as closing:
        closing.enter_context(docker_config.usable())
        if ca:
            ca_file, certificate_file, key_file = closing.enter_context(private_files(ca, certificate, key))
            tls = TLSConfig(
                client_cert=(str(certificate_file), str(key_file)), ca_cert=str(ca_file), verify=True
            )
            client = _DirectClient(base_url=address, timeout=first, tls=tls, version="auto")
        elif address:
            client = _DirectClient(base_url=address, timeout=first, version="auto")
        else:
            # The address that the toolchain gives the plugins: DOCKER_HOST, or the docker command's context.
            where = docker_socket.endpoint()
            # DOCKER_TLS_VERIFY and DOCKER_CERT_PATH are for engines elsewhere.
            variables = (
                {"DOCKER_HOST": where}
                if where.startswith("unix://")
                else {**os.environ, "DOCKER_HOST": where}
            )
            client = _DirectClient(**kwargs_from_env(variables), timeout=first, version="auto")
        closing.callback(client.close)
        client.timeout = timeout
        yield client
