"""A plain `pulumi up` in a second clone is refused before it touches the first clone's hosts."""

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import pulumi
import pytest

from components.hosts import taken_name
from tests.unit import program
from well_known import TAKEN_NAME, state_id

KEY = "ssh-ed25519 AAAA"


def container(name: str, **labels: str) -> dict[str, Any]:
    return {"Names": [f"/{name}"], "Labels": {"slipway.stack": "test", **labels}}


def found(*containers: dict[str, Any]) -> Any:
    return mock.patch.object(taken_name, "containers", return_value=list(containers))


@pytest.mark.parametrize("labels", [{}, {"slipway.state": state_id(KEY), "slipway.clone": "/moved/since"}])
def test_the_stacks_own_containers_are_no_obstacle(labels: dict[str, str]) -> None:
    with found(container("slipway-test-yard", **labels)):
        assert taken_name.unless_taken(state_id(KEY)) == state_id(KEY)


def test_another_clones_containers_are_named_with_the_way_out() -> None:
    other = {"slipway.state": "f" * 16, "slipway.clone": "/home/me/a clone"}
    with found(container("slipway-test-yard", **other)), pytest.raises(pulumi.RunError) as raised:
        taken_name.unless_taken(state_id(KEY))
    text = str(raised.value)
    assert text.startswith(TAKEN_NAME.format(stack=pulumi.get_stack()))
    assert "container slipway-test-yard, of the clone /home/me/a clone" in text
    assert "`cd '/home/me/a clone' && ./slip down --purge" in text
    assert "slipway:platform.portOffset" in text


def test_hosts_of_a_lost_state_of_this_clone_are_not_to_be_purged() -> None:
    lost = {"slipway.state": "f" * 16, "slipway.clone": str(Path.cwd())}
    with found(container("slipway-test-yard", **lost)), pytest.raises(pulumi.RunError) as raised:
        taken_name.unless_taken(state_id(KEY))
    text = str(raised.value)
    assert "another state of this clone" in text
    assert "--purge" not in text
    assert "another name" not in text


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An engine that records the questions."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps([container("slipway-test-yard")]).encode())

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine")
    with socketserver.ThreadingUnixStreamServer(f"{tmp_path}/engine", Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield asked
        server.shutdown()


def test_the_engine_is_asked_for_the_stack_alone(engine: list[str]) -> None:
    assert [item["Names"] for item in taken_name.containers("slipway", "test")] == [["/slipway-test-yard"]]
    (question,) = engine
    parts = urlsplit(question)
    assert parts.path == "/containers/json"
    assert json.loads(parse_qs(parts.query)["filters"][0]) == {
        "label": ["slipway.project=slipway", "slipway.stack=test"]
    }


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "unix:///nowhere"])
def test_an_engine_that_cannot_be_asked_is_no_obstacle(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    assert taken_name.containers("slipway", "test") == []


@pytest.mark.parametrize("before", [{}, {"hosts": {"yard": {}}}])
def test_only_a_stack_without_hosts_asks(before: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = taken_name.unless_taken

    def unless_taken(state: str) -> str:
        asked.append(state)
        return real(state)

    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])
    monkeypatch.setattr("components.hosts.local.unless_taken", unless_taken)
    program.run(before=json.dumps(before))
    assert len(asked) == (0 if before else 1)
