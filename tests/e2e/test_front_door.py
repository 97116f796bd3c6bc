"""What the proxy does with visitors: the configuration that the scripts render, in a real HAProxy, without a stack."""

import base64
import json
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.visitors import hashes
from tests.support.authority import Authority
from tests.support.front_door import App, FrontDoor

ROOT = Path(__file__).parents[2]
PASSWORD = "open, Sesame! 9"  # noqa: S105 - of a test


@pytest.fixture(scope="module")
def app(machine: None) -> App:
    return App()


@pytest.fixture(scope="module")
def door(app: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    routes = {
        "@web.test": ("web", ""),
        "@private.test": ("private", "auth=yes"),
        "@private.test%api": ("private", "auth=yes"),
        "@guessed.test": ("guessed", "auth=yes"),
        "@lost.test": ("lost", "auth=yes"),
        "@few.test": ("few", "rate=3/60"),
        "@few.test%api": ("few", "rate=3/60"),
        "@far.test": ("far", "allow=192.0.2.0/24"),
        "@gone.test": ("gone", "timeout=1"),
        "@late.test": ("late", "timeout=1"),
    }
    apps: dict[str, App | int] = dict.fromkeys({service for service, _ in routes.values()}, app)
    # Nothing listens there.
    apps["gone"] = 1
    found = FrontDoor(tmp_path_factory.mktemp("door"), "slipway-test-front-door", routes, apps)
    for service in ("private", "guessed"):
        found.bring(f"/etc/slipway/visitors/{service}", hashes(service, {"alice": PASSWORD, "bob": "other-one"}))
    for service in ("gone", "late"):
        found.bring(f"/etc/slipway/proxy/errors/{service}.0123456789abcdef.html", f"<p>{service} is down\n")
    certificate, key = Authority().leaf("web.test")
    found.bring("/etc/slipway/proxy/certificates/web.pem", certificate + key)
    with found:
        yield found


def _basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def test_only_who_knows_the_password_gets_in(door: FrontDoor, app: App) -> None:
    status, headers, _ = door.ask("/", "private.test")
    assert (status, headers["x-refused"]) == (401, "password")
    assert headers["www-authenticate"] == 'Basic realm="private", charset="UTF-8"'
    for wrong in (_basic("alice", "other-one"), _basic("nobody", PASSWORD), {"Authorization": "Basic !"}):
        assert door.ask("/", "private.test", wrong)[0] == 401
    before = len(app.asked)
    for path in ("/", "/", "/api/x"):
        assert door.ask(path, "private.test", _basic("alice", PASSWORD) | {"X-Forwarded-User": "root"})[0] == 200
    for _, _, got, _ in app.asked[before:]:
        assert got["x-forwarded-user"] == "alice"
        assert "authorization" not in got
    # Whoever has a password has one name: headers of which the proxy and the service read another one are refused.
    forged = _basic("root", "x")["Authorization"]
    right = _basic("alice", PASSWORD)["Authorization"]
    for headers in ({"Authorization": forged, "authorization": right}, {"Authorization": f"{forged}, {right}"}):
        assert door.ask("/", "private.test", headers)[0] in {400, 401}
    # A known password costs no hash any more; one that is wrong after it is still wrong.
    assert door.ask("/", "private.test", _basic("alice", f"{PASSWORD}x"))[0] == 401


def test_without_its_passwords_a_service_lets_nobody_in(door: FrontDoor) -> None:
    assert door.ask("/", "lost.test", _basic("alice", PASSWORD))[0] == 401


def test_guessing_ends_soon_and_keeps_out_nobody_who_was_in(door: FrontDoor) -> None:
    right = _basic("bob", "other-one")
    assert door.ask("/", "guessed.test", right)[0] == 200
    found = [door.ask("/", "guessed.test", _basic("alice", f"guess {number}"))[0] for number in range(12)]
    assert found == [401] * 10 + [429] * 2
    assert door.ask("/", "guessed.test", _basic("alice", PASSWORD))[0] == 429
    assert door.ask("/", "guessed.test", right)[0] == 200
    assert door.ask("/", "web.test")[0] == 200


def test_a_client_that_asks_too_often_is_told_when_to_come_back(door: FrontDoor) -> None:
    found = [door.ask(path, "few.test") for path in ("/", "/api", "/", "/", "/api")]
    assert [status for status, *_ in found] == [200, 200, 200, 429, 429]
    assert (found[-1][1]["retry-after"], found[-1][1]["x-refused"]) == ("60", "rate")
    assert door.ask("/", "web.test")[0] == 200


def test_strangers_to_a_service_with_networks_are_refused(door: FrontDoor) -> None:
    status, headers, _ = door.ask("/", "far.test")
    assert (status, headers["x-refused"]) == (403, "network")


def test_a_service_has_a_page_of_its_own_for_errors(door: FrontDoor) -> None:
    status, headers, body = door.ask("/", "gone.test")
    assert (status, body) == (503, "<p>gone is down\n")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert door.ask("/slow", "late.test")[::2] == (504, "<p>late is down\n")
    # What the service itself says stays.
    assert "host" in door.ask("/own-502", "late.test")[2]




def test_the_log_says_what_became_of_a_request(door: FrontDoor) -> None:
    door.ask("/logged", "web.test", {"X-Forwarded-For": "192.0.2.66"})
    door.ask("/logged", "private.test", _basic("alice", PASSWORD))
    door.ask("/logged", "gone.test")
    found = [line for line in door.log() if line.get("path") == "/logged"]
    web, private, gone = found
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", web["time"])
    assert (web["client"], web["peer"], web["scheme"], web["host"]) == (*["127.0.0.1"] * 2, "http", "web.test")
    assert (web["route"], web["container"], web["status"]) == ("r:web.test", "web-1", 200)
    for name in ("queue_ms", "connect_ms", "first_byte_ms", "total_ms"):
        assert 0 <= web[name] < 30_000
    assert private["visitor"] == "alice"
    assert (gone["status"], gone["first_byte_ms"]) == (503, -1)
    assert PASSWORD not in json.dumps(found)


def test_the_dashboard_asks_for_metrics_that_there_are(door: FrontDoor) -> None:
    door.ask("/", "web.test")
    with urllib.request.urlopen(f"http://127.0.0.1:{door.metrics_port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    there = set(re.findall(r"^(haproxy_\w+)\{", text, re.MULTILINE)) | set(
        re.findall(r"^(haproxy_\w+) ", text, re.MULTILINE)
    )
    asked = set(re.findall(r"haproxy_\w+", (ROOT / "examples/grafana/proxies.json").read_text()))
    assert asked
    assert asked <= there
    assert 'haproxy_backend_http_requests_total{proxy="r:web.test"}' in text
