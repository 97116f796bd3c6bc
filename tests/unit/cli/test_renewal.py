"""Certificates that are not valid now, and the clock that they are made by."""

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from cli.update import clock, renewal

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LEAF, AUTHORITY = "tls:index/locallySignedCert:LocallySignedCert", "tls:index/selfSignedCert:SelfSignedCert"


def certificate(name: str, begin: str, end: str, kind: str = LEAF, **more: Any) -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:local::slipway::{kind}::{name}",
        "type": kind,
        "outputs": {"validityStartTime": begin, "validityEndTime": end},
        **more,
    }


VALID = certificate("valid", "2026-06-01T12:00:00Z", "2027-06-01T12:00:00Z")
FUTURE = certificate(
    "web-1-engine-certificate", "2028-06-01T14:00:00.123456789+02:00", "2029-06-01T12:00:00Z"
)
EXPIRED = certificate("engine-ca-certificate", "2016-06-01T12:00:00Z", "2026-06-01T12:00:00Z", AUTHORITY)
STATE = {
    "resources": [
        VALID,
        FUTURE,
        EXPIRED,
        certificate("going", "2028-06-01T12:00:00Z", "2029-06-01T12:00:00Z", delete=True),
        {"urn": "urn:x", "type": LEAF},  # being made when an update was killed
        {"urn": "urn:y", "type": "tls:index/privateKey:PrivateKey", "outputs": {}},
    ]
}


@pytest.mark.parametrize(
    ("resource", "due"),
    [
        (VALID, False),
        ({**VALID, "inputs": {"earlyRenewalHours": 24 * 364}}, False),
        ({**VALID, "inputs": {"earlyRenewalHours": 24 * 365}}, True),
        ({**VALID, "inputs": {"earlyRenewalHours": 24 * 365}, "delete": True}, False),
        ({**VALID, "inputs": {"earlyRenewalHours": "secret"}}, True),
        (certificate("soon", "2026-06-01T12:00:00Z", "2026-06-01T12:59:59Z"), True),
        (certificate("no time", "", ""), True),
    ],
)
def test_what_is_due(resource: dict[str, Any], due: bool) -> None:
    assert renewal.are_due({"resources": [resource]}, NOW) is due


def test_what_is_expired_or_from_the_future_is_made_anew() -> None:
    found = renewal.invalid(STATE, NOW)
    assert found == [FUTURE, EXPIRED]
    assert renewal.options(found) == ["--replace", FUTURE["urn"], "--replace", EXPIRED["urn"]]
    assert renewal.description(found, NOW) == (
        "  web-1-engine: not valid before 2028-06-01 12:00 UTC\n  engine-ca: expired 2026-06-01"
    )
    assert renewal.invalid({}, NOW) == []


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A socket that answers a ping with these lines after the status."""
    head: list[str] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "engine"))
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall("\r\n".join(["HTTP/1.0 200 OK", *head, "", "OK"]).encode())

    threading.Thread(target=serve, daemon=True).start()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine")
    yield head
    server.close()


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (timedelta(seconds=59), ""),
        (timedelta(seconds=-59), ""),
        (timedelta(seconds=121), "2 minutes ahead of"),
        (timedelta(minutes=10), "10 minutes ahead of"),
        (timedelta(hours=-5), "5 hours behind"),
        (timedelta(days=730), "730 days ahead of"),
        (timedelta(days=-730), "730 days behind"),
    ],
)
def test_a_clock_that_differs_from_the_hosts_is_refused(
    engine: list[str], difference: timedelta, words: str
) -> None:
    engine += ["Api-Version: 1.51", "date: Mon, 01 Jun 2026 12:00:00 GMT"]
    if not words:
        clock.refuse_other_clock(NOW + difference)
        return
    with pytest.raises(CommandError, match=words) as raised:
        clock.refuse_other_clock(NOW + difference)
    assert raised.value.status == 3
    assert "Correct the clock" in raised.value.remedy


@pytest.mark.parametrize("lines", [[], ["Date: nonsense"]])
def test_an_engine_that_does_not_say_is_no_obstacle(engine: list[str], lines: list[str]) -> None:
    engine += lines
    clock.refuse_other_clock(NOW)


def test_an_engine_elsewhere_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    clock.refuse_other_clock(NOW)
