"""`slip logs`, against engines in memory."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli import logs
from cli.errors import CommandError
from cli.running import fleet
from cli.running.host_report import HostReport
from tests.unit.cli import engines


class FakeEngine:
    """An engine with containers and what they said, in pieces as they come over a network."""

    def __init__(self, *containers: dict[str, Any]) -> None:
        self._containers = containers
        self.asked: list[dict[str, Any]] = []

    def containers(
        self,
        *,
        all: bool,  # noqa: A002 - the SDK's own name
        filters: dict[str, list[str]],
    ) -> list[dict[str, Any]]:
        assert all
        return [one for one in self._containers if filters["label"][0] in one["labels"]]

    def logs(self, container: str, **options: Any) -> Iterator[bytes]:
        self.asked.append(options)
        (found,) = [one for one in self._containers if one["Id"] == container]
        begins, number = True, 0
        # The engine has a time before each line, also where a line comes in pieces.
        for piece in found["said"]:
            for part in piece.splitlines(keepends=True):
                number += begins
                yield (
                    f"2026-01-01T00:00:{found['at'] + number:02}.000000000Z " if begins else ""
                ).encode() + part
                begins = part.endswith(b"\n")


def container(number: int, label: str, *said: bytes, state: str = "running", at: int = 0) -> dict[str, Any]:
    """A container whose lines come each second from a time on."""
    return {
        "at": at or number,
        "Id": f"id-{number}",
        "Names": [f"/{label.partition('=')[2]}-{number}"],
        "Created": number,
        "State": state,
        "labels": [label],
        "said": said,
    }


ENGINES: dict[str, FakeEngine] = {}
REPORTS: dict[str, HostReport] = {}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Any:
    engines.give(monkeypatch, ENGINES)

    monkeypatch.setattr(fleet, "ask", lambda _, hosts: {host: REPORTS[host] for host in hosts})

    class Stack:
        name = short_name = "local"
        option = ""

        def outputs(self) -> dict[str, Any]:
            hosts = {
                "yard": {"roles": ["registry", "build"]},
                "web-1": {"roles": ["app"]},
                "web-2": {"roles": ["app"]},
            }
            return {
                "platform": "aws",
                "hosts": hosts,
                "serviceUrls": {"web": []},
                "serviceHosts": {"web": ["web-1"]},
            }

    return Stack()


def run(
    stack: Any, *what: str, host: str | None = None, tail: str = "100", follow: bool = False, **more: str
) -> int:
    wanted = logs.Wanted.of(tail, more.get("since", ""), more.get("grep", ""), follow=follow, now=1e9)
    return logs.run(stack, what, wanted, host=host)


def test_lines_are_put_together_and_told_with_their_host(
    stack: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ENGINES["web-1"] = FakeEngine(container(1, "slipway.role=proxy", b"first\nsec", b"ond\nla", b"st"))
    ENGINES["web-2"] = FakeEngine(container(1, "slipway.service=web", b"not this\n"))
    assert run(stack, "proxy") == 0
    said = capsys.readouterr()
    assert said.out == "web-1 | first\nweb-1 | second\nweb-1 | last\n"
    # Silence could also mean that there is nothing to say.
    assert said.err == "web-2: no log lines of proxy.\n"


def test_only_the_hosts_that_run_it_are_asked(stack: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ENGINES["yard"] = FakeEngine(container(1, "slipway.role=registry", b"here\n"))
    assert run(stack, "registry") == 0
    assert capsys.readouterr().out == "here\n"


@pytest.mark.parametrize(
    ("what", "host", "where"),
    [("web", "yard", "web-1"), ("web", "web-2", "web-1"), ("registry", "web-1", "yard")],
)
def test_a_host_that_does_not_run_it_is_an_error(what: str, host: str, where: str, stack: Any) -> None:
    with pytest.raises(CommandError, match=f"{host} runs no {what}") as caught:
        run(stack, what, host=host)
    assert caught.value.remedy == f"{what} runs on {where}."
    assert caught.value.status == 2


def test_of_one_host_the_lines_come_as_they_are_the_oldest_container_first(
    stack: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ENGINES["web-1"] = FakeEngine(
        container(2, "slipway.service=web", b"new\n"), container(1, "slipway.service=web", b"old\n")
    )
    assert run(stack, "web", host="web-1", tail="5") == 0
    assert capsys.readouterr().out == "old\nnew\n"
    assert {options["tail"] for options in ENGINES["web-1"].asked} == {5}


def test_a_stopped_container_is_not_followed(stack: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ENGINES["web-1"] = FakeEngine(
        container(1, "slipway.service=web", b"dead\n", state="exited"),
        container(2, "slipway.service=web", b"alive\n"),
    )
    assert run(stack, "web", host="web-1", tail="all", follow=True) == 0
    assert capsys.readouterr().out == "alive\n"


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (
            HostReport("web-1", silence="SSH at 192.0.2.1:22 refuses connections"),
            "web-1 does not answer: SSH at 192.0.2.1:22 refuses connections.\n→ start the machine of web-1",
        ),
        (
            HostReport("web-1", engine_unit="failed"),
            "the engine of web-1 does not answer: docker.service is failed.\n→ ./slip repair web-1",
        ),
    ],
)
def test_a_silent_engine_is_reported_and_stops_no_other_host(
    report: HostReport, said: str, stack: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    REPORTS["web-1"] = report
    ENGINES["web-2"] = FakeEngine(container(1, "slipway.role=proxy", b"here\n"))
    assert run(stack, "proxy") == 1
    shown = capsys.readouterr()
    assert shown.out == "web-2 | here\n"
    assert shown.err.startswith(said)


@pytest.mark.parametrize(("what", "host"), [("wbe", None), ("web", "web-9")])
def test_a_name_that_is_none_is_told_with_those_that_are(stack: Any, what: str, host: str | None) -> None:
    with pytest.raises(CommandError) as caught:
        run(stack, what, host=host)
    assert ("registry, proxy, web" in str(caught.value.remedy)) or (
        "web-1, web-2, yard" in str(caught.value.remedy)
    )


def test_of_the_access_log_the_last_ones_with_a_status_are_shown(
    stack: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def some(status: str, what: str = "proxy") -> int:
        wanted = logs.Wanted.of("2", "", "", follow=False, status=status)
        return logs.run(stack, [what], wanted, host="web-1")

    said = [f'{{"status": {status}}}\n'.encode() for status in (502, 503, 504, 200, 200)]
    ENGINES["web-1"] = FakeEngine(container(1, "slipway.role=proxy", b"".join(said)))
    assert some("5xx") == 0
    assert capsys.readouterr().out == '{"status": 503}\n{"status": 504}\n'
    assert ENGINES["web-1"].asked[0]["tail"] == "all"
    assert some("404") == 0
    assert not capsys.readouterr().out
    with pytest.raises(CommandError, match="not of web"):
        some("5xx", "web")


def test_lines_of_several_services_and_hosts_come_in_the_order_of_time(
    stack: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ENGINES["web-1"] = FakeEngine(
        container(1, "slipway.service=web", b"one\nthree\n", at=9),
        container(2, "slipway.role=proxy", b"two\n", at=9),
    )
    ENGINES["web-2"] = FakeEngine(container(1, "slipway.role=proxy", b"four\n", at=20))
    assert run(stack, "web", "proxy") == 0
    shown = capsys.readouterr().out.splitlines()
    assert sorted(shown[:2]) == ["proxy web-1 | two", "web web-1 | one"]
    assert shown[2:] == ["web web-1 | three", "proxy web-2 | four"]


def test_without_a_name_all_services_are_shown(stack: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ENGINES["web-1"] = FakeEngine(container(1, "slipway.service=web", b"here\n"))
    assert run(stack) == 0
    assert capsys.readouterr().out == "here\n"


def test_a_line_in_pieces_has_its_time_once(stack: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Pieces(FakeEngine):
        def logs(self, container: str, **options: Any) -> Iterator[bytes]:
            for text in ("a long", " line\n"):
                yield f"2026-01-01T00:00:01.000000001Z {text}".encode()

    ENGINES["web-1"] = Pieces(container(1, "slipway.service=web"))
    assert run(stack, "web") == 0
    assert capsys.readouterr().out == "a long line\n"


def test_only_lines_since_a_time_and_with_a_word(stack: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ENGINES["web-1"] = FakeEngine(container(1, "slipway.service=web", b"GET 200\nGET 500\n"))
    assert (
        logs.run(stack, ["web"], logs.Wanted.of(None, "10m", "5..$", follow=False, now=1e9), host=None) == 0
    )
    assert capsys.readouterr().out == "GET 500\n"
    (asked,) = ENGINES["web-1"].asked
    assert (asked["since"], asked["tail"]) == (1_000_000_000 - 600, "all")


def test_each_line_as_json(stack: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ENGINES["web-1"] = FakeEngine(container(1, "slipway.service=web", b"here\n"))
    assert logs.run(stack, ["web"], logs.Wanted(), host=None, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "time": "2026-01-01T00:00:02.000000000Z",
        "service": "web",
        "host": "web-1",
        "container": "web-1",
        "text": "here",
    }


@pytest.mark.parametrize(
    ("tail", "since", "grep", "message"),
    [
        ("x", "", "", "--tail x: not a number"),
        (None, "yesterday", "", "--since yesterday: neither a time nor how long ago"),
        (None, "", "(", r"--grep \(: "),
    ],
)
def test_a_wish_that_is_none_is_refused(tail: str | None, since: str, grep: str, message: str) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        logs.Wanted.of(tail, since, grep, follow=False)
    assert raised.value.status == 2
