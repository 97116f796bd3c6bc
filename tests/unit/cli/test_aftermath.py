"""After a failed update the hosts are asked once, for all who say something about them."""

from collections.abc import Iterable
from typing import Any

import pytest

from cli.errors import CommandError
from cli.running import drift, fleet
from cli.running.disk import Disk
from cli.running.drift import Desired, Difference, Login
from cli.running.host_report import HostReport
from cli.update import full_disk, missing_images, repair, serving
from cli.update.aftermath import Aftermath
from well_known import REGISTRY_DATA_PATH

LOGIN = Login("yard", "127.0.0.1", 2200, "root", "key", "host key")
PART = Desired(LOGIN, "urn::yard-setup", ("file 644 0:0 sum /etc/one",), "bash -s", "set up")
CONTAINER = "docker:index/container:Container"
YARD = "urn:pulumi:local::slipway::docker:index/container:Container::yard"
OUTPUTS = {
    "hosts": {"yard": {"roles": ["registry", "app"]}},
    "sshPrivateKey": "key",
    "serviceHosts": {"web": ["yard"]},
}


class Stack:
    """A stack whose state has one host and, unless its first update failed early, outputs."""

    option = ""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.exports = 0
        self._outputs = outputs

    def deployment(self) -> dict[str, Any]:
        machine = {"urn": YARD, "type": CONTAINER, "custom": True, "id": "1"}
        follower = {"urn": "urn::other", "type": CONTAINER, "custom": True, "id": "2", "deletedWith": YARD}
        stack = {"urn": "urn::stack", "type": "pulumi:pulumi:Stack", "outputs": self._outputs}
        return {"resources": [stack, machine, follower]}

    def deployment_with_secrets(self) -> dict[str, Any]:
        self.exports += 1
        return self.deployment()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked over SSH."""
    questions: list[str] = []

    def ask(_: object, *, desired: Iterable[Desired]) -> dict[str, HostReport]:
        questions.append("fleet")
        disks = (Disk(REGISTRY_DATA_PATH, 10**10, 0, 0.5),)
        found = tuple(Difference(part, "/etc/one is missing") for part in desired)
        return {"yard": HostReport("yard", disks=disks, differences=found)}

    def differences(_: object) -> dict[str, list[Difference]]:
        questions.append("drift")
        return {"yard": [Difference(PART, "/etc/one is missing")]}

    monkeypatch.setattr(fleet, "ask", ask)
    monkeypatch.setattr(drift, "differences", differences)
    monkeypatch.setattr("cli.stack.desired.desired", lambda _: [PART])
    monkeypatch.setattr(missing_images, "missing", lambda _: [])
    return questions


def test_who_serves_the_disk_and_the_drift_are_one_question(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stack: Any = Stack(OUTPUTS)
    aftermath = Aftermath(stack)
    assert serving.report(aftermath, ()) == [
        ("web on yard", "unknown: its Docker Engine or its proxy does not answer")
    ]
    assert full_disk.report(aftermath, "")
    assert repair.found(stack, aftermath)
    assert (asked, stack.exports) == (["fleet"], 1)
    shown = capsys.readouterr().err
    assert "The registry's disk on yard is full" in shown
    assert "yard: /etc/one is missing" in shown


def test_a_first_update_that_failed_early_has_no_outputs(asked: list[str]) -> None:
    stack: Any = Stack({})
    aftermath = Aftermath(stack)
    assert serving.report(aftermath, ()) == []
    assert not full_disk.report(aftermath, "")
    assert repair.found(stack, aftermath)
    assert (asked, stack.exports) == (["drift"], 1)


def test_a_state_that_cannot_be_read_is_none() -> None:
    class Broken(Stack):
        def deployment_with_secrets(self) -> dict[str, Any]:
            raise CommandError("incorrect passphrase")

    stack: Any = Broken(OUTPUTS)
    aftermath = Aftermath(stack)
    assert (aftermath.state, aftermath.outputs, aftermath.reports) == ({}, {}, {})
