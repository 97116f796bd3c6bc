"""`slip stop` and `slip start`, against hosts that note what they are told."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cli import stop
from cli.errors import CommandError
from cli.running import fleet, ssh
from cli.running.host_report import Container, HostReport, Serving
from cli.running.ssh import CommandResult
from cli.running.stack import NEEDED

HOSTS = ("web-1", "web-2")


class FakeStack:
    """A stack with a service on two hosts."""

    name = short_name = "local"
    option = ""

    def outputs(self) -> dict[str, Any]:
        return {key: {} for key in NEEDED} | {
            "hosts": {host: {} for host in HOSTS},
            "serviceUrls": {"web": [f"http://{host}/" for host in HOSTS]},
            "serviceHosts": {"web": list(HOSTS)},
            "versions": {
                "web": {
                    "current": 1.0,
                    "versions": [{"number": 1.0, "settings": {"healthTimeout": 0.01}, "deployments": []}],
                }
            },
        }


STACK: Any = FakeStack()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the hosts are told."""
    found: list[tuple[str, str]] = []

    def run(_: Any, host: str, command: str, patience: float = 60, stdin: str = "") -> CommandResult:
        found.append((host, command.partition(" ")[2]))
        return CommandResult(0, "", "")

    monkeypatch.setattr(ssh, "run", run)
    return found


def report(host: str, status: str = "running", *, healthy: bool = True) -> HostReport:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    container = Container("web-a", "", "web", status, 0, False, 0, made, made, ())
    serving = Serving("web", "web-a", (), made, f"HTTP {200 if healthy else 500} on /up", healthy)
    return HostReport(
        host, engine_version="28", proxy_answers=True, containers=(container,), services={"web": serving}
    )


def test_all_hosts_end_the_service(told: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert stop.stop(STACK, "web") == 0
    assert sorted(told) == [(host, "--halt web") for host in HOSTS]
    assert "./slip start web" in capsys.readouterr().err


def test_a_host_that_does_not_obey_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Any, host: str, *__: Any, **___: Any) -> CommandResult:
        if host == "web-1":
            raise CommandError("web-1 does not answer: SSH refuses connections")
        return CommandResult(0, "", "")

    monkeypatch.setattr(ssh, "run", refuse)
    assert stop.stop(STACK, "web") == 1
    said = capsys.readouterr().err
    assert "web-1 does not answer" in said
    assert "web-2" not in said


def test_a_service_that_does_not_exist_stops_nothing(told: list[tuple[str, str]]) -> None:
    with pytest.raises(CommandError, match="has no service 'shop'"):
        stop.stop(STACK, "shop")
    assert told == []


def test_it_has_started_once_each_host_says_that_it_is_healthy(
    told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])

    def ask(_: Any, hosts: Any) -> dict[str, HostReport]:
        healthy = next(answers)
        return {host: report(host, healthy=healthy) for host in hosts}

    monkeypatch.setattr(fleet, "ask", ask)
    monkeypatch.setattr(stop, "PAUSE", 0)
    monkeypatch.setattr(stop, "_health_timeout", lambda *_: 60.0)
    assert stop.start(STACK, "web") == 0
    assert sorted(told) == [(host, "--resume web") for host in HOSTS]
    assert next(answers, None) is None


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (report("web-2", healthy=False), "web on web-2: HTTP 500 on /up"),
        (report("web-2", "exited"), "web on web-2: it does not run"),
        (
            HostReport("web-2", silence="SSH refuses connections"),
            "it does not answer: SSH refuses connections",
        ),
    ],
)
def test_what_does_not_get_healthy_is_named(
    told: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    found: HostReport,
    why: str,
) -> None:
    monkeypatch.setattr(fleet, "ask", lambda *_: {"web-1": report("web-1"), "web-2": found})
    monkeypatch.setattr(stop, "PAUSE", 0)
    assert stop.start(STACK, "web") == 1
    said = capsys.readouterr().err
    assert why in said
    assert "web on web-1" not in said
    assert "./slip logs web" in said
