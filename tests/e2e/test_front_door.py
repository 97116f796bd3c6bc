"""What the proxy does with visitors: the configuration that the scripts render, in a real HAProxy, without a stack."""

import base64
import contextlib
import json
import re
import resource
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.visitors import hashes
from tests.support.authority import Authority
from tests.support.front_door import App, FrontDoor

ROOT = Path(__file__).parents[2]
THUMBPRINT = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
"""Of the account of an ACME authority's client."""
PASSWORD = "open, Sesame! 9"


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
        "@moved.test": ("moved", "https=443"),
        "@gone.test": ("gone", "timeout=1"),
        "@late.test": ("late", "timeout=1"),
        "@one.test": ("one", "maxConnections=1"),
    }
    apps: dict[str, App | int] = dict.fromkeys({service for service, _ in routes.values()}, app)
    # Nothing listens there.
    apps["gone"] = 1
    found = FrontDoor(tmp_path_factory.mktemp("door"), "slipway-test-front-door", routes, apps)
    for service in ("private", "guessed"):
        found.bring(
            f"/etc/slipway/visitors/{service}", hashes(service, {"alice": PASSWORD, "bob": "other-one"})
        )
    for service in ("gone", "late"):
        found.bring(f"/etc/slipway/proxy/errors/{service}.0123456789abcdef.html", f"<p>{service} is down\n")
    found.bring("/etc/slipway/proxy/acme-thumbprint", f"{THUMBPRINT}\n")
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
        assert (
            door.ask(path, "private.test", _basic("alice", PASSWORD) | {"X-Forwarded-User": "root"})[0] == 200
        )
    for _, _, got, _ in app.asked[before:]:
        assert got["x-forwarded-user"] == "alice"
        assert "authorization" not in got
    # Whoever has a password has one name: headers of which the proxy and the service read another one are refused.
    forged = _basic("root", "x")["Authorization"]
    right = _basic("alice", PASSWORD)["Authorization"]
    for headers in (
        {"Authorization": forged, "authorization": right},
        {"Authorization": f"{forged}, {right}"},
    ):
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


def test_challenges_of_acme_are_answered_ahead_of_all_rules(door: FrontDoor, app: App) -> None:
    before, token = len(app.asked), "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
    path = f"/.well-known/acme-challenge/{token}"
    for name in ("web.test", "private.test", "far.test", "moved.test", "gone.test", "nobody.test"):
        assert door.ask(path, name)[::2] == (200, f"{token}.{THUMBPRINT}"), name
    assert len(app.asked) == before
    # Nothing else is: what is in such a path would come back to whoever sent it.
    for other in (f"{path}/", f"{path}%3Cscript%3E", f"{path}<b>", f"/x{path}", path[:30], f"{path}/{token}"):
        assert THUMBPRINT not in door.ask(other, "web.test")[2], other
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", door.tls_port), 30) as plain,
        context.wrap_socket(plain, server_hostname="web.test") as connection,
    ):
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n".encode())
        assert THUMBPRINT not in connection.recv(65536).decode()


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
    assert (web["client"], web["peer"], web["scheme"], web["host"]) == (
        *["127.0.0.1"] * 2,
        "http",
        "web.test",
    )
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


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: web.test\r\n\r\n"
"""A request inside another one's body."""
CHUNKED = b"0\r\n\r\n" + SMUGGLED


def _post(*headers: bytes, body: bytes = CHUNKED, version: bytes = b"1.1", end: bytes = b"\r\n") -> bytes:
    head = [b"POST /outer HTTP/" + version, b"Host: web.test", *headers]
    return end.join([*head, b"", b""]) + body


WHOLE, SHORT = (b"Content-Length: %d" % size for size in (len(CHUNKED), 5))
DOUBTFUL = {
    "CL.TE": _post(WHOLE, b"Transfer-Encoding: chunked"),
    "TE.CL": _post(
        b"Transfer-Encoding: chunked", b"Content-Length: 3", body=b"2e\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"
    ),
    "a space before the colon": _post(WHOLE, b"Transfer-Encoding : chunked"),
    "another coding": _post(WHOLE, b"Transfer-Encoding: xchunked"),
    "chunked not last": _post(WHOLE, b"Transfer-Encoding: chunked, identity"),
    "two codings": _post(WHOLE, b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"),
    "a tab": _post(WHOLE, b"Transfer-Encoding:\tchunked"),
    "a folded line": _post(WHOLE, b"X: y\r\n Transfer-Encoding: chunked"),
    "a folded value": _post(WHOLE, b"Transfer-Encoding:\r\n chunked"),
    "bare line feeds": _post(WHOLE, b"Transfer-Encoding: chunked", end=b"\n"),
    "a bare line feed in a value": _post(WHOLE, b"X: y\nTransfer-Encoding: chunked"),
    "a bare carriage return": _post(WHOLE, b"X: y\rTransfer-Encoding: chunked"),
    "a NUL": _post(WHOLE, b"X: \0", b"Transfer-Encoding: chunked"),
    "two lengths": _post(WHOLE, SHORT),
    "a list of lengths": _post(b"Content-Length: 5, %d" % len(CHUNKED)),
    "a length with a sign": _post(b"Content-Length: +5"),
    "a negative length": _post(b"Content-Length: -5"),
    "a length in hexadecimal": _post(b"Content-Length: 0x5"),
    "a chunk's size with a sign": _post(b"Transfer-Encoding: chunked", body=b"+0\r\n\r\n" + SMUGGLED),
    "a chunk that ends in a bare line feed": _post(b"Transfer-Encoding: chunked", body=b"0\n\n" + SMUGGLED),
    "chunks in HTTP/1.0": _post(WHOLE, b"Transfer-Encoding: chunked", version=b"1.0"),
    "two names": _post(WHOLE, b"Host: private.test"),
    "another name in the target": WHOLE.join(
        [b"POST http://private.test/ HTTP/1.1\r\nHost: web.test\r\n", b"\r\n\r\n" + CHUNKED]
    ),
    "a body that is not announced": b"GET /outer HTTP/1.1\r\nHost: web.test\r\n\r\n" + CHUNKED,
}
REFUSED = {
    *(
        "a space before the colon",
        "chunked not last",
        "two codings",
        "a bare carriage return",
        "a NUL",
        "two lengths",
    ),
    *("a list of lengths", "a length with a sign", "a negative length", "a length in hexadecimal"),
    *("two names", "another name in the target"),
}
"""Those that get no further than the proxy. A bare line feed ends a line for it; what it passes on has whole ends."""


@pytest.mark.parametrize("sample", DOUBTFUL)
def test_no_request_hides_in_another(sample: str, door: FrontDoor, app: App) -> None:
    before = len(app.asked)
    answer = door.said(DOUBTFUL[sample], patience=1)
    seen = app.asked[before:]
    # The proxy gives each request that it reads an id. One that it has not read has none.
    ids = [headers.get("x-request-id") for _, _, headers, _ in seen]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert {headers["host"] for _, _, headers, _ in seen} <= {"web.test"}
    assert re.match(rb"HTTP/1\.[01] (200|400|401|501) ", answer), answer
    if sample in REFUSED:
        assert (seen, answer.split()[1][:1]) == ([], b"4")
    assert door.ask("/", "web.test")[0] == 200


def test_forged_headers_do_not_reach_a_service(door: FrontDoor, app: App) -> None:
    forged = {
        "X-Forwarded-For": "192.0.2.66",
        "x-forwarded-proto": "https",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Port": "666",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-User": "root",
        "Forwarded": "for=192.0.2.66",
        "X-Real-IP": "192.0.2.66",
        "X-Request-Id": "forged",
    }
    assert door.ask("/", "web.test", forged)[0] == 200
    got = app.asked[-1][2]
    assert (got["x-forwarded-for"], got["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert got["x-forwarded-host"] == "web.test"
    for value in ("192.0.2.66", "evil", "666", "root", "forged"):
        assert value not in json.dumps(got)


@pytest.mark.parametrize("size", [16_000, 64 * 1024])
def test_headers_that_are_too_long_are_refused(size: int, door: FrontDoor) -> None:
    assert door.ask("/", "web.test", {"X-Long": "a" * size})[0] in {400, 431}
    assert door.ask("/", "web.test", {"X-Long": "a" * 8000})[0] == 200


def test_a_name_that_nobody_has(door: FrontDoor) -> None:
    assert door.ask("/", "nobody.test")[0] == 404
    for name in ("nobody.test", "web.test.evil.test", None):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _handshake(door, name)
    assert _handshake(door, "web.test") in {"TLSv1.2", "TLSv1.3"}


def _handshake(door: FrontDoor, name: str | None) -> str | None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", door.tls_port), 30) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        return connection.version()


def test_a_client_that_sends_its_body_slowly_holds_up_no_container(door: FrontDoor, app: App) -> None:
    """The container takes one request at a time, and the proxy others only after it."""
    head = b"POST /slowly HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\nContent-Length: 4\r\n"
    for expects, answer in ((b"", b""), (b"Expect: 100-continue\r\n", b"HTTP/1.1 100 ")):
        with socket.create_connection(("127.0.0.1", door.port), 30) as slow:
            slow.sendall(head + expects + b"\r\n")
            if answer:
                assert slow.recv(65536).startswith(answer)
            slow.sendall(b"ab")
            assert door.ask("/", "one.test")[0] == 200
            slow.sendall(b"cd")
            assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert app.asked[-1][:2] == ("POST", "/slowly")
        assert app.asked[-1][3] == b"abcd"


def test_slow_clients_hold_up_nobody(door: FrontDoor, app: App) -> None:
    """2,000 connections that send their headers letter by letter."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    slow = []
    try:
        for _ in range(2000):
            connection = socket.create_connection(("127.0.0.1", door.port), 30)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: web.test\r\nX-S")
            slow.append(connection)
        asked = len(app.asked)
        for _ in range(50):
            assert door.ask("/", "web.test")[0] == 200
        # No slow client has got as far as a container.
        assert len(app.asked) == asked + 50
        ends = 0
        for connection in slow:
            connection.settimeout(60)
            # A letter now and then makes no difference.
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"l")
            with contextlib.suppress(ConnectionResetError):
                answer = b""
                while part := connection.recv(4096):
                    answer += part
                assert answer.startswith(b"HTTP/1.1 408 ")
            ends += 1
        assert ends == 2000
    finally:
        for connection in slow:
            connection.close()
    assert door.ask("/", "web.test")[0] == 200
