"""A failed update whose reason is the registry's full disk."""

import signal
import subprocess
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from cli.errors import CommandError
from cli.running import fleet
from cli.running.disk import Disk
from cli.running.host_report import HostReport
from cli.screen.events import Message
from cli.update import full_disk

OUTPUTS = {"hosts": {"yard": {"roles": ["registry", "build"]}, "web-1": {"roles": ["app"]}}}
DATA = "/var/lib/slipway/registry"


def reported(found: HostReport, outputs: dict[str, Any] = OUTPUTS) -> tuple[bool, list[str]]:
    said: list[str] = []
    aftermath: Any = SimpleNamespace(outputs=outputs, reports=dict.fromkeys(outputs.get("hosts", ()), found))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cli.console.warn", said.append)
        return full_disk.report(aftermath, " -s dev"), said


FULL, ROOMY = Disk(DATA, 10**10, 0, 0.5), Disk(DATA, 10**10, 10**9, 0.5)


def of(*disks: Disk) -> HostReport:
    return HostReport("yard", disks=disks)


def test_a_full_disk_is_named_with_the_command_that_makes_room() -> None:
    disks = of(Disk("/", 10**10, 10**10, 0.5), Disk(DATA, 10**10, 12_288, 0.5))
    answer, (text,) = reported(disks)
    assert answer
    assert text.startswith("The registry's disk on yard is full: 12.3 kB are free.")
    assert "`./slip prune -s dev`" in text


def test_the_data_may_lie_on_the_disk_of_everything_else() -> None:
    assert reported(of(Disk("/run", 1, 10**10, 0.5), Disk("/", 10**10, 0, 0.5)))[0]


@pytest.mark.parametrize(
    "found",
    [of(Disk("/", 10**10, 0, 0.5), Disk(DATA, 10**10, 10**9, 0.5)), HostReport("yard", silence="no answer")],
    ids=["room", "silent"],
)
def test_another_reason_is_not_the_disk(found: HostReport) -> None:
    assert reported(found) == (False, [])


def test_inodes_count_too() -> None:
    assert reported(of(Disk(DATA, 10**10, 10**9, 0.0)))[0]


@pytest.mark.parametrize("outputs", [{}, {"hosts": {"web-1": {"roles": ["app"]}}}])
def test_without_a_registry_of_its_own_nothing_is_asked(outputs: dict[str, Any]) -> None:
    assert reported(of(Disk(DATA, 1, 0, 0.0)), outputs) == (False, [])


@pytest.mark.parametrize(
    ("text", "disk", "ends"),
    [
        ("abc: Retrying in 5 seconds", FULL, True),
        (
            "the registry refused a layer, and the engine tries again for a minute. Its disk may be full.",
            FULL,
            True,
        ),
        ("abc: Retrying in 5 seconds", ROOMY, False),
        ("abc: Pushing", FULL, False),
    ],
)
def test_a_push_that_is_repeated_for_a_full_disk_ends_the_update(
    text: str, disk: Disk, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(_: object, hosts: Sequence[str]) -> dict[str, HostReport]:
        asked.extend(hosts)
        return {host: HostReport(host, disks=(disk,)) for host in hosts}

    monkeypatch.setattr(fleet, "ask", ask)
    stack: Any = SimpleNamespace(outputs=lambda: OUTPUTS)
    with subprocess.Popen(["sleep", "300"]) as process:
        guard = full_disk.Guard(stack)
        guard.started(process.pid)
        for _ in range(2):
            guard.take(Message("urn::web-image", "info", text, is_status=True))
        if ends:
            assert process.wait(60) == -signal.SIGINT
        else:
            for thread in threading.enumerate():
                if (
                    thread is not threading.current_thread()
                    and thread.daemon
                    and thread.name.endswith("(_ask)")
                ):
                    thread.join(60)
            process.kill()
    assert guard.has_ended_it == ends
    assert asked == (["yard"] if "again" in text or "Retrying" in text else [])


def test_a_first_update_has_no_registry_to_ask() -> None:
    def outputs() -> dict[str, Any]:
        raise CommandError("no outputs")

    stack: Any = SimpleNamespace(outputs=outputs)
    guard = full_disk.Guard(stack)
    guard._ask()
    assert not guard.has_ended_it
