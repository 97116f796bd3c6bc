"""The command for a local host that gives no answer follows the state of its container."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import cli.running.engine
from cli.running import silence
from cli.running.stack import RunningStack

LOST = "./slip forget web-1 -s mine && ./slip up -s mine"


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("paused", "docker unpause slipway-mine-web-1"),
        ("exited", "docker start slipway-mine-web-1"),
        ("created", "docker start slipway-mine-web-1"),
        ("running", "docker restart slipway-mine-web-1"),
        ("", LOST),
        ("no engine", "systemctl start docker   # this machine's own Docker Engine does not answer"),
    ],
)
def test_the_command_follows_the_containers_state(
    state: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Engine:
        def containers(self, **options: Any) -> list[dict[str, Any]]:
            asked.append(options["filters"]["label"])
            return [{"Names": ["/slipway-mine-web-1"], "State": state}] if state else []

    @contextmanager
    def connected(_: str, timeout: int) -> Iterator[Engine]:
        if state == "no engine":
            raise ConnectionRefusedError
        yield Engine()

    monkeypatch.setattr(cli.running.engine, "connected", connected)
    running = RunningStack({"platform": "local"}, name="mine", option=" -s mine")
    assert silence.remedy(running, "web-1") == command
    assert asked in ([], [["slipway.stack=mine", "slipway.host=web-1"]])


def test_another_machine_is_started_by_its_owner() -> None:
    assert silence.remedy(RunningStack({"platform": "aws"}, option=" -s mine"), "web-1") == (
        f"start the machine of web-1; if it is lost for good:\n{LOST}"
    )
