"""The docker provider's own configuration, and the connection to an engine."""

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from plugins.docker.endpoint import Endpoint, Material, candidates, tls_context
from plugins.docker.engine import Account, Engine, registry_of
from plugins.docker.plugin import Docker
from plugins.protocol.messages import CheckRequest, ConfigureRequest, CreateRequest, Failure, InvokeRequest
from plugins.protocol.properties import UNKNOWN, Secret
from tests.plugins.docker_engine import Listener, configured
from tests.plugins.replay import answer, differences, recorded
from tests.support.authority import Authority


@pytest.mark.parametrize("name", ["context", "sshOpts"])
def test_settings_that_are_missing_here_are_refused_by_name(name: str) -> None:
    checked = Docker().check_config(CheckRequest("urn", "docker", "pulumi:providers:docker", {}, {name: "x"}))
    assert [failure.property for failure in checked.failures] == [name]


def test_registries_by_file_are_refused_by_name_and_passwords_are_secret() -> None:
    def checked(entry: dict[str, str]) -> Any:
        news = {"registryAuth": json.dumps([entry])}
        return Docker().check_config(CheckRequest("urn", "docker", "pulumi:providers:docker", {}, news))

    assert [f.property for f in checked({"address": "a", "configFile": "x"}).failures] == [
        "registryAuth.configFile"
    ]
    accounts = checked({"username": "u", "address": "a", "password": "<&>"}).inputs["registryAuth"]
    assert accounts == Secret('[{"address":"a","password":"\\u003c\\u0026\\u003e","username":"u"}]')
    assert Engine({"host": "unix:///x", "registryAuth": accounts}).accounts == {"a": Account("u", "<&>")}


def test_an_engine_that_is_down_fails_as_recorded_and_says_where() -> None:
    (call,) = recorded("docker", file="08-fail-daemon", method="Configure")
    plugin = Docker()
    plugin.engine = listener = Listener()
    assert differences(call, answer(plugin, call)) == []
    ((severity, message, ephemeral),) = listener.messages
    assert (severity, ephemeral) == ("error", False)
    assert message.startswith("No Docker Engine answers at tcp://127.0.0.1:1 (Connection refused)")


def test_an_engine_that_is_not_known_yet_is_not_asked() -> None:
    plugin = Docker()
    plugin.configure(ConfigureRequest({"host": UNKNOWN}, "urn", "late", "id"))
    with pytest.raises(Failure, match="not known yet"):
        plugin.create(CreateRequest("urn", "x", "docker:index/volume:Volume", {"name": "x"}))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"host": "ssh://root@web"}, "unix:///path or tcp://host:port"),
        ({"host": "tcp://web:2376", "caMaterial": "x"}, "must all be specified"),
        (
            {"host": "tcp://web:2376", "caMaterial": "x", "certMaterial": "x", "keyMaterial": "x"},
            "are not a valid TLS configuration",
        ),
        ({"host": "tcp://web:2376", "certPath": "/absent"}, "/absent"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, str], text: str) -> None:
    with pytest.raises(Failure, match=text):
        candidates(settings)


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("debian:12", "docker.io"),
        ("library/debian", "docker.io"),
        ("localhost/x", "localhost"),
        ("yard:5000/web@sha256:1", "yard:5000"),
        ("index.docker.io/x/y", "docker.io"),
    ],
)
def test_the_registry_of_an_image(image: str, registry: str) -> None:
    assert registry_of(image) == registry


# Mutual TLS


class TlsFront:
    """A TCP port with mutual TLS in front of an engine, like `dockerd --tlsverify`."""

    def __init__(self, authority: Authority, behind: str | None) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._pem = "".join(authority.leaf())
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(cadata=authority.pem)
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self, directory: Path) -> None:
        file = directory / "server.pem"
        file.write_text(self._pem)
        self._context.load_cert_chain(file)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with self._context.wrap_socket(client, server_side=True) as secured:
                if self._behind is None:
                    secured.recv(4096)
                    secured.sendall(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK")
                    return
                with socket.socket(socket.AF_UNIX) as engine:
                    engine.connect(self._behind)
                    back = threading.Thread(target=_copy, args=(engine, secured), daemon=True)
                    back.start()
                    _copy(secured, engine)
                    back.join()
        except OSError:
            return


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def front(authority: Authority, tmp_path: Path) -> Iterator[TlsFront]:
    one = TlsFront(authority, None)
    one.start(tmp_path)
    yield one
    one.stop()


def test_an_engine_behind_mutual_tls_answers_its_client(authority: Authority, front: TlsFront) -> None:
    assert Endpoint(front.host, tls_context(Material(authority.pem, *authority.leaf()))).ping() == "1.41"


def test_a_foreign_authority_is_not_trusted(authority: Authority, front: TlsFront) -> None:
    stranger = Authority()
    with pytest.raises(OSError, match="certificate verify failed"):
        Endpoint(front.host, tls_context(Material(stranger.pem, *authority.leaf()))).ping()


def test_a_foreign_client_is_not_let_in(authority: Authority, front: TlsFront) -> None:
    stranger = Authority()
    with pytest.raises(OSError, match=r"(?i)unknown ca|alert|reset|closed|pipe|eof"):
        Endpoint(front.host, tls_context(Material(authority.pem, *stranger.leaf()))).ping()


def test_the_key_leaves_no_file_behind(authority: Authority) -> None:
    directories = [Path("/dev/shm"), Path(os.environ.get("TMPDIR", "/tmp"))]
    before = {file for directory in directories if directory.is_dir() for file in directory.glob("slipway-*")}
    tls_context(Material(authority.pem, *authority.leaf()))
    after = {file for directory in directories if directory.is_dir() for file in directory.glob("slipway-*")}
    assert after <= before


@pytest.mark.engine
def test_operations_go_through_mutual_tls_too(authority: Authority, tmp_path: Path) -> None:
    configured()  # skips without an engine
    front = TlsFront(authority, "/var/run/docker.sock")
    front.start(tmp_path)
    certificate, key = authority.leaf()
    plugin = Docker()
    settings = {
        "host": front.host,
        "caMaterial": authority.pem,
        "certMaterial": certificate,
        "keyMaterial": Secret(key),
    }
    plugin.configure(ConfigureRequest(settings, "urn", "web", "id"))
    got = plugin.invoke(InvokeRequest("docker:index/getNetwork:getNetwork", {"name": "bridge"})).properties
    front.stop()
    assert got["driver"] == "bridge"
