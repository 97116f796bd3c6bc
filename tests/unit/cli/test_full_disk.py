"""A failed update whose reason is the registry's full disk."""

from typing import Any

import pytest

from cli.errors import CommandError
from cli.running import disk
from cli.running.disk import Disk
from cli.update import full_disk

OUTPUTS = {"hosts": {"yard": {"roles": ["registry", "build"]}, "web-1": {"roles": ["app"]}}}


class Stack:
    option = " -s dev"

    def __init__(self, outputs: dict[str, Any]) -> None:
        self._outputs = outputs

    def outputs(self) -> dict[str, Any]:
        return self._outputs


def reported(
    found: Disk | CommandError, monkeypatch: pytest.MonkeyPatch, outputs: dict[str, Any] = OUTPUTS
) -> tuple[bool, list[str]]:
    asked: list[str] = []

    def of_registry(_: object, host: str) -> Disk:
        asked.append(host)
        if isinstance(found, CommandError):
            raise found
        return found

    said: list[str] = []
    monkeypatch.setattr(disk, "of_registry", of_registry)
    monkeypatch.setattr("cli.console.warn", said.append)
    stack: Any = Stack(outputs)
    answer = full_disk.report(stack)
    assert asked in ([], ["yard"])
    return answer, said


def test_a_full_disk_is_named_with_the_command_that_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, (text,) = reported(Disk(10**10, 12_288, 0.5), monkeypatch)
    assert answer
    assert text.startswith("The registry's disk on yard is full: 12.3 kB are free.")
    assert "`./slip prune -s dev`" in text


@pytest.mark.parametrize("found", [Disk(10**10, 10**9, 0.5), CommandError("web-1 does not answer")])
def test_another_reason_is_not_the_disk(found: Disk | CommandError, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reported(found, monkeypatch) == (False, [])


def test_inodes_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reported(Disk(10**10, 10**9, 0.0), monkeypatch)[0]


@pytest.mark.parametrize("outputs", [{}, {"hosts": {"web-1": {"roles": ["app"]}}}])
def test_without_a_registry_of_its_own_nothing_is_asked(
    outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reported(Disk(1, 0, 0.0), monkeypatch, outputs) == (False, [])
