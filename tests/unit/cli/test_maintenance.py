"""`slip maintenance`, against hosts that note what they are told."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli import maintenance
from cli.errors import CommandError
from cli.running import ssh
from cli.running.ssh import CommandResult
from cli.running.stack import NEEDED


class Told(NamedTuple):
    host: str
    command: str
    page: str


class FakeStack:
    """A stack with a service on two hosts, and one on one of them."""

    name = short_name = "local"
    option = ""

    def outputs(self) -> dict[str, Any]:
        services = {"web": ["web-1", "web-2"], "api": ["web-2"]}
        return {key: {} for key in NEEDED} | {
            "hosts": {"web-1": {}, "web-2": {}},
            "serviceUrls": {name: [f"http://{host}/" for host in hosts] for name, hosts in services.items()},
            "serviceHosts": services,
        }


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Told]:
    """What the hosts are told. web-2 refuses what concerns api."""
    found: list[Told] = []

    def run(_: Any, host: str, command: str, patience: float = 60, stdin: str = "") -> CommandResult:
        found.append(Told(host, command, stdin))
        return CommandResult(6 if " api " in command else 0, "", "slipway: refused")

    monkeypatch.setattr(ssh, "run", run)
    return found


def run(service: str, state: str, page: str = "", *allow: str) -> int:
    return maintenance.run(FakeStack(), service, state, page=page, allow=allow)  # type: ignore[arg-type]


def test_all_hosts_of_the_service_get_the_page_and_who_may_pass(told: list[Told], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>Zurück um 8\n", encoding="utf-8")
    assert run("web", "on", str(page), "198.51.100.7", "10.0.0.0/8") == 0
    command = "/usr/local/lib/slipway/switch --maintenance web on 198.51.100.7/32 10.0.0.0/8"
    assert sorted(told) == [Told(host, command, "<p>Zurück um 8\n") for host in ("web-1", "web-2")]


def test_it_ends_on_all_hosts(told: list[Told], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("web", "off") == 0
    assert {one.command.partition(" ")[2] for one in told} == {"--maintenance web off"}
    assert "web answers again on web-1, web-2." in "".join(capsys.readouterr())


def test_a_host_that_refuses_is_named(told: list[Told], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("api", "on") == 1
    assert "web-2: slipway: refused" in "".join(capsys.readouterr())
    assert len(told) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shop", "on"), "no service 'shop'"),
        (("web", "maybe"), "neither on nor off: maybe"),
        (("web", "off", "", "10.0.0.1"), "are for `on`"),
        (("web", "on", "/nonexistent"), "--page /nonexistent: No such file"),
        (("web", "on", "", "10.0.0.1/8"), "--allow 10.0.0.1/8: not an address or a network"),
    ],
)
def test_a_mistake_changes_nothing(told: list[Told], arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*arguments)
    assert told == []


def test_a_page_is_no_larger_than_haproxy_takes(told: list[Told], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("a" * (maintenance.LARGEST_PAGE + 1))
    with pytest.raises(CommandError, match="a page has at most 12288"):
        run("web", "on", str(page))
    assert told == []
