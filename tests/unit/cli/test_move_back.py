"""The way back to one version, against hosts and updates that are given."""

from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest

from cli.stack.config import StackConfig
from cli.update import move_back, orders
from cli.update.aftermath import Aftermath
from tests.unit.cli.test_versions import BEGUN, GOOD, outputs, report, version

CONFIGURATION: dict[str, Any] = {
    "web": {"build": "app"},
    "cron": {"from": "web"},
    "late": {"from": "cron"},
    "api": {"build": "api"},
}


def config(**rollout: str) -> StackConfig:
    content = {"config": {"slipway:services": CONFIGURATION, "slipway:rollout": rollout}}
    return StackConfig(content, "slipway")


def after(*serving: int) -> Aftermath:
    """What hosts say that serve these versions."""
    found = Aftermath(mock.Mock())
    stack = outputs(version(2, BEGUN, minute=5), version(1, GOOD, minute=1), current=2)
    stack["serviceHosts"] = {"web": ["web-1", "web-2"]}
    hosts = zip(("web-1", "web-2"), serving, strict=True)
    found.__dict__ |= {
        "outputs": stack,
        "reports": {host: report(host, number) for host, number in hosts},
        "state": {"resources": [resource("web"), resource("cron"), resource("late"), resource("api")]},
    }
    return found


def resource(service: str) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:local::slipway::slipway:index:Service::{service}", "type": "component"}


def stack(**rollout: str) -> Any:
    pulumi = mock.Mock(variables={})
    return mock.Mock(config=config(**rollout), option="", pulumi=pulumi, spec=["config", "option", "pulumi"])


def test_services_that_run_another_ones_image_are_found() -> None:
    assert config().followers("web") == ("cron", "late")
    assert config().followers("late") == ()


def test_the_last_lines_name_host_reason_and_what_serves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered: dict[str, Any] = {}

    def order(_: Any, back: dict[str, int]) -> str:
        ordered.update(back)
        return "ordered"

    runs: list[tuple[Any, Sequence[str]]] = []

    def run(one: Any, options: Sequence[str], _: Aftermath) -> int:
        runs.append((one, options))
        return 0

    monkeypatch.setattr(orders, "ordered", order)
    found = after(2, 1)
    found.reasons = ["web on web-2: its health check /up answered HTTP 500 for 5 s", "api on web-2: its own"]
    assert move_back.move_back(stack(), found, run) == 1
    assert ordered == {"web": 1}
    ((one, options),) = runs
    assert one == "ordered"
    assert [urn.rpartition("::")[2] for urn in options if urn.startswith("urn:")] == ["web", "cron", "late"]
    last = capsys.readouterr().err.partition("error: ")[2]
    assert "version 2 failed: web on web-2: its health check /up answered HTTP 500" in last
    assert "its own" not in last
    assert "All its hosts serve version 1 again: web-1, web-2" in last


def test_a_way_back_that_fails_says_what_each_host_serves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "ordered", lambda *_: "ordered")
    monkeypatch.setattr(move_back, "Aftermath", lambda _: after(1, 2))
    assert move_back.move_back(stack(), after(2, 1), lambda *_: 1) == 1
    last = capsys.readouterr().err.partition("error: ")[2]
    assert "web-1 serves version 1" in last
    assert "web-2 serves version 2" in last
    assert "goes on with the way back to version 1" in last


@pytest.mark.parametrize(
    ("rollout", "serving"), [({"onFailure": "stop"}, (2, 1)), ({}, (1, 1)), ({}, (2, 2))]
)
def test_nothing_goes_back(rollout: dict[str, str], serving: tuple[int, int]) -> None:
    def run(*_: Any) -> int:
        raise AssertionError("an update ran")

    assert move_back.move_back(stack(**rollout), after(*serving), run) == 1
