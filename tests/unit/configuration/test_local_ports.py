"""The check of this machine's ports (free, the stack's own, or another program's), against real sockets."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import pulumi
import pytest

from configuration.load import load, validate
from configuration.local_ports import is_held, occupied
from configuration.problems import Problem
from configuration.settings import StackSettings


class Engine(UnixStreamServer):
    """A server for the Docker Engine's list of containers."""

    containers: list[dict[str, Any]]
    asked: list[str]


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Engine)
        self.server.asked.append(self.path)
        body = json.dumps(self.server.containers).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing: the inherited method fails for clients on a Unix socket, whose address is not a pair."""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    path = tmp_path / "docker.sock"
    with Engine(str(path), Answer) as server:
        server.containers, server.asked = [], []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        yield server
        server.shutdown()


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/missing.sock")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def free_port() -> int:
    """A free port below the range of ephemeral ports."""
    return next(port for port in range(20011, 32000) if not is_held(port))


def stack_with_registry_on(port: int, service: dict[str, Any] | None = None) -> StackSettings:
    """A stack with the registry on this port, and with free ports for all else."""
    for offset in range(7, 40000, 111):
        stack = validate(
            {
                "platform": {"portOffset": offset},
                "hosts": {"box": {"roles": ["registry", "build", "app"]}},
                "registry": {"port": port},
                "services": {"dns": service} if service else {},
                "passwords": {"hosts": "a-secret-password"},
            }
        )
        published = stack.published_ports("box")
        if port not in published and not any(map(is_held, published)):
            return stack
    raise AssertionError("every port of this machine is held")


def lines(problems: list[Problem]) -> list[str]:
    return [str(problem) for problem in problems]


def container(port: int, name: str = "foreign", **labels: str) -> dict[str, Any]:
    return {
        "Names": [f"/{name}"],
        "Labels": {key.replace("_", "."): value for key, value in labels.items()},
        "Ports": [
            {"PrivatePort": 80, "Type": "tcp"},
            {"IP": "127.0.0.1", "PrivatePort": 8080, "PublicPort": port},
        ],
    }


class TestIsHeld:
    def test_a_listener_holds_its_port(self, listener: socket.socket) -> None:
        assert is_held(port_of(listener))

    def test_a_listener_on_all_addresses_holds_it_too(self) -> None:
        with socket.socket() as server:
            server.bind(("0.0.0.0", 0))
            server.listen()
            assert is_held(port_of(server))

    def test_a_port_is_free_once_its_listener_is_gone(self, listener: socket.socket) -> None:
        port = port_of(listener)
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()  # the side that closes first lingers
            client.recv(1)
        listener.close()
        assert not is_held(port)

    def test_udp_and_tcp_are_apart(self, listener: socket.socket) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            port = int(server.getsockname()[1])
            assert is_held(port, "udp")
        assert not is_held(port, "udp")
        assert not is_held(port_of(listener), "udp")


class TestOccupied:
    def test_a_public_port_is_looked_for_where_it_will_be(self, engine: Engine) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            port = int(server.getsockname()[1])
            stack = stack_with_registry_on(
                free_port(), {"image": "dns:1", "ports": {"public": [f"{port - 7}:53/udp", f"{port - 7}:53"]}}
            )
            if stack.platform.port_offset != 7:
                pytest.skip("the machine's ports are taken")
            (line,) = lines(occupied(stack, "slipway", "local"))
        assert line.startswith("slipway:hosts.box.slot: the service dns on box needs 127.0.0.1:")
        assert f"{port}/udp, but {Path('/proc/self/comm').read_text().strip()} (process" in line

    def test_free_ports_are_no_problem_and_the_engine_gets_no_request(self, engine: Engine) -> None:
        assert occupied(stack_with_registry_on(free_port()), "slipway", "local") == []
        assert engine.asked == []

    def test_the_stacks_own_port_is_no_problem(self, engine: Engine, listener: socket.socket) -> None:
        port = port_of(listener)
        engine.containers = [container(1), container(port, slipway_project="slipway", slipway_stack="local")]
        assert occupied(stack_with_registry_on(port), "slipway", "local") == []

    def test_a_host_of_the_stack_that_goes_holds_its_ports_until_then(self, engine: Engine) -> None:
        stack = stack_with_registry_on(free_port())
        own = {"slipway_project": "slipway", "slipway_stack": "local"}
        with socket.socket() as server:
            server.bind(("127.0.0.1", port := stack.local_ports("box").ssh))
            server.listen()
            engine.containers = [container(port, **own, slipway_host="box")]
            assert occupied(stack, "slipway", "local") == []
            engine.containers = [container(port, **own, slipway_host="old-name")]
            (line,) = lines(occupied(stack, "slipway", "local"))
        assert line.startswith(f"slipway:hosts.box.slot: SSH of box needs 127.0.0.1:{port}, ")
        assert "the stack's own host old-name holds" in line
        assert line.endswith("or keep the host's name.")

    def test_another_stacks_port_is_one(self, engine: Engine, listener: socket.socket) -> None:
        port = port_of(listener)
        engine.containers = [container(port, "slipway-test-box", slipway_stack="test")]
        (line,) = lines(occupied(stack_with_registry_on(port), "slipway", "local"))
        assert line.startswith(f"slipway:registry.port: the registry needs 127.0.0.1:{port}, but ")
        assert "the container slipway-test-box of the stack test holds that port" in line
        assert line.endswith(
            "Stop it, or set slipway:registry.port or slipway:platform.portOffset to another number."
        )

    def test_another_projects_stack_of_the_same_name_is_one(
        self, engine: Engine, listener: socket.socket
    ) -> None:
        port = port_of(listener)
        engine.containers = [container(port, "box", slipway_project="other", slipway_stack="local")]
        (line,) = lines(occupied(stack_with_registry_on(port), "slipway", "local"))
        assert "the container box of the stack local of the project other holds that port" in line

    def test_a_foreign_container_is_named(self, engine: Engine, listener: socket.socket) -> None:
        port = port_of(listener)
        engine.containers = [{"Names": None, "Labels": None, "Ports": None}, container(port, "postgres")]
        (line,) = lines(occupied(stack_with_registry_on(port), "slipway", "local"))
        assert "but the container postgres holds that port" in line

    @pytest.mark.skipif(
        not Path("/proc/net/tcp").exists(), reason="only Linux names the program that listens"
    )
    def test_a_program_is_named_with_its_process(self, engine: Engine, listener: socket.socket) -> None:
        (line,) = lines(occupied(stack_with_registry_on(port_of(listener)), "slipway", "local"))
        assert f"(process {os.getpid()}) holds that port" in line

    @pytest.mark.usefixtures("no_engine")
    def test_it_works_without_an_engine(self, listener: socket.socket) -> None:
        assert len(occupied(stack_with_registry_on(port_of(listener)), "slipway", "local")) == 1

    def test_an_engine_elsewhere_has_ports_elsewhere(
        self, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2376")
        assert occupied(stack_with_registry_on(port_of(listener)), "slipway", "local") == []

    @pytest.mark.usefixtures("no_engine")
    def test_the_remedy_for_a_hosts_port_is_its_slot(self) -> None:
        stack = stack_with_registry_on(free_port())
        port = stack.local_ports("box").http
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))
            server.listen()
            (line,) = lines(occupied(stack, "slipway", "local"))
        assert line.startswith(f"slipway:hosts.box.slot: HTTP of box needs 127.0.0.1:{port}, but ")


@pytest.mark.usefixtures("no_engine")
def test_load_refuses_an_occupied_port(listener: socket.socket, tmp_path: Path) -> None:
    class NoResources(pulumi.runtime.Mocks):
        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> Any:
            raise AssertionError(args.name)

        def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
            raise AssertionError(args.token)

    port = port_of(listener)
    offset = stack_with_registry_on(port).platform.port_offset
    pulumi.runtime.set_mocks(NoResources(), project="slipway", stack="local")
    pulumi.runtime.set_all_config(
        {
            "slipway:platform": json.dumps({"portOffset": offset}),
            "slipway:registry": json.dumps({"port": port}),
            "slipway:passwords": json.dumps({"hosts": "a-secret-password"}),
        },
        ["slipway:passwords"],
    )
    with pytest.raises(pulumi.RunError, match=f"one mistake; nothing was touched:\n  .*127.0.0.1:{port}"):
        load(tmp_path)
    listener.close()
    assert load(tmp_path).registry.port == port
