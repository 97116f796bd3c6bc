"""The lines of `slip status`: pure functions of versions, checks and a preview."""

from datetime import UTC, datetime, timedelta

import pytest

from cli import status
from cli.screen.events import Step
from cli.screen.record import Record
from cli.status import FAILED, OK, WARNING, Finding
from cli.verify.found import Result
from tests.unit.cli.test_versions import BEGUN, GOOD, outputs, version

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)


def lines(current: int, *left: int, now: datetime = NOW) -> list[Finding]:
    stack = outputs(version(2, BEGUN, minute=5), version(1, GOOD, minute=1), current=current, left=left)
    stack["serviceHosts"] = {"web": ["web-1", "web-2"], "cache": ["web-1"]}
    return list(status.of_services(stack, now, " -s dev"))


def test_each_service_is_named_with_its_version_and_age() -> None:
    assert lines(1) == [
        Finding(OK, "cache: on web-1"),
        Finding(OK, "web: version 1 on web-1, web-2, deployed 59 min ago"),
    ]


def test_what_failed_and_what_is_held_back_has_a_command() -> None:
    (failed,) = [one for one in lines(2) if one.state == WARNING]
    assert "the roll-out of version 2 has not ended well" in failed.text
    assert failed.remedy == "./slip up -s dev, or ./slip rollback web -s dev"
    (held,) = [one for one in lines(1, 2) if one.state == WARNING]
    assert "a rollback left version 2" in held.text
    assert held.remedy == "./slip up --forward web -s dev"


def test_an_old_image_is_told() -> None:
    (old,) = [one for one in lines(1, now=NOW + status.OLD) if one.state == WARNING]
    assert "its base image may lack updates" in old.text
    assert [one.state for one in lines(1, now=NOW + status.OLD - timedelta(hours=2))] == [OK, OK]


def test_failures_of_checks_come_with_what_mends_them() -> None:
    found = status.of_checks(
        [
            Result("runs", "web-1", True, "fine"),
            Result("lasts", "registry", True, "10 days left", warned=True),
            Result("runs", "web-2", False, "it is inactive", remedy="./slip repair web-2"),
            Result("pulls", "web-2", False, "", skipped=True),
        ]
    )
    assert list(found) == [
        Finding(OK, "1 of 4 checks of hosts, registry, services and certificates"),
        Finding(WARNING, "lasts: registry: 10 days left"),
        Finding(FAILED, "runs: web-2: it is inactive", "./slip repair web-2"),
        Finding(FAILED, "1 checks did not run, since what they need gives no answer"),
    ]


def test_what_waits_for_an_update_is_named() -> None:
    (same,) = status.of_configuration(Record(), "")
    assert same == Finding(OK, "all is as the configuration says")
    (unknown,) = status.of_configuration(None, "")
    assert (unknown.state, unknown.remedy) == (FAILED, "./slip preview")
    urn = "urn:pulumi:local::slipway::slipway:index:Service$docker:index/container:Container::web-web-1"
    step = Step("replace", urn)
    (waits,) = status.of_configuration(Record(steps=[step]), "")
    assert (waits.state, waits.remedy) == (WARNING, "./slip preview, then ./slip up")
    assert waits.text.startswith("an `up` would change 1 resources: ")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_what_needs_a_person_comes_last(order: tuple[int, ...]) -> None:
    found = [Finding(OK, "a"), Finding(WARNING, "b", "one\ntwo"), Finding(FAILED, "c", "three")]
    assert list(status.rows(found[number] for number in order)) == [
        ("ok", "a"),
        ("warning", "b"),
        ("", "→ one"),
        ("", "→ two"),
        ("FAILED", "c"),
        ("", "→ three"),
    ]
