"""Connections to Docker Engines, with mutual TLS where they ask for it. Importing this takes a tenth of a second."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker.errors
import requests
from docker import APIClient
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env

ERRORS = (docker.errors.DockerException, requests.RequestException, OSError)
"""What can go wrong when an engine is asked."""


class _DirectClient(APIClient):
    """A client that ignores what the environment says of proxies and authorities.

    An engine is reached directly, and only its own authority counts. Otherwise REQUESTS_CA_BUNDLE would replace it.
    """

    @property
    def trust_env(self) -> bool:
        """What requests asks before it looks at the environment; it also tries to set it."""
        return False

    @trust_env.setter
    def trust_env(self, _: bool) -> None:
        pass


@contextlib.contextmanager
def connected(
    address: str, *, ca: str = "", certificate: str = "", key: str = "", timeout: int = 60
) -> Iterator[APIClient]:
    """A client of the engine at `address` (`tcp://…`); of the operator's own engine if that is empty.

    Args:
        address: as in DOCKER_HOST.
        ca: the authority that the engine's certificate must come from, PEM.
        certificate: ours, PEM.
        key: ours, PEM.
        timeout: seconds that any one answer may take.

    Raises:
        one of ERRORS: the engine does not answer, or refuses us.

    """
    with contextlib.ExitStack() as closing:
        if ca:
            ca_file, certificate_file, key_file = closing.enter_context(private_files(ca, certificate, key))
            tls = TLSConfig(
                client_cert=(str(certificate_file), str(key_file)), ca_cert=str(ca_file), verify=True
            )
            client = _DirectClient(base_url=address, timeout=timeout, tls=tls, version="auto")
        elif address:
            client = _DirectClient(base_url=address, timeout=timeout, version="auto")
        else:
            # What DOCKER_HOST and its like say counts, as it does for Docker's own command.
            client = _DirectClient(**kwargs_from_env(), timeout=timeout, version="auto")
        closing.callback(client.close)
        yield client


@contextlib.contextmanager
def private_files(*contents: str) -> Iterator[tuple[Path, ...]]:
    """Files with these contents, readable by us alone, for as long as the block runs.

    TLS libraries take private keys from files only, and read them again for each connection.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        paths = tuple(Path(directory) / f"{index}.pem" for index in range(len(contents)))
        for path, content in zip(paths, contents, strict=True):
            path.touch(mode=0o600)
            path.write_text(content)
        yield paths
