"""A failed update whose reason is the registry's full disk."""

from types import SimpleNamespace
from typing import Any

import pytest

from cli.running.disk import Disk
from cli.running.host_report import HostReport
from cli.update import full_disk

OUTPUTS = {"hosts": {"yard": {"roles": ["registry", "build"]}, "web-1": {"roles": ["app"]}}}
DATA = "/var/lib/slipway/registry"


def reported(found: HostReport, outputs: dict[str, Any] = OUTPUTS) -> tuple[bool, list[str]]:
    said: list[str] = []
    aftermath: Any = SimpleNamespace(outputs=outputs, reports=dict.fromkeys(outputs.get("hosts", ()), found))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cli.console.warn", said.append)
        return full_disk.report(aftermath, " -s dev"), said


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
