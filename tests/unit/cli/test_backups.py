"""The command's part in backups: which one is meant, and what hosts say of theirs."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cli.backups import choose, parse
from cli.errors import CommandError
from cli.running.backup import Backup, backup
from cli.running.host_report import HostReport
from cli.running.stack import RunningStack
from cli.verify.checks import SERVICES

LISTED = json.dumps(
    [
        {
            "short_id": "aa11",
            "time": "2026-01-30T03:00:12.123456789Z",
            "tags": ["service=db", "command=data"],
        },
        {
            "short_id": "bb22",
            "time": "2026-01-31T04:00:12.123456789+01:00",
            "tags": ["service=db", "volumes=data+log", "bytes=2048"],
        },
        {"short_id": "cc33", "time": "2026-02-01T03:00:12Z", "tags": ["unfinished"]},
    ]
)


def test_only_whole_backups_are_listed_and_the_newest_first() -> None:
    kept = parse(LISTED)
    assert [one.id for one in kept] == ["bb22", "aa11"]
    assert kept[0].moment == "2026-01-31 03:00:12 UTC"
    assert (kept[0].bytes, kept[0].what) == (2048, "the volumes data, log")
    assert (kept[1].bytes, kept[1].what) == (None, "the output of its command")
    assert parse("null") == []


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (None, "bb22"),
        ("aa11", "aa11"),
        ("2026-01-31", "bb22"),
        ("2026-01-31 03:00", "aa11"),
        ("2026-01-31T04:00:30+01:00", "bb22"),
        ("2026-01-30", "aa11"),
    ],
)
def test_a_backup_is_chosen_by_its_id_or_by_a_time(at: str | None, expected: str) -> None:
    assert choose(parse(LISTED), "db", at).id == expected


@pytest.mark.parametrize(
    ("at", "why"), [("cc33", "neither the id"), ("yesterday", "nor a time"), ("2026-01-29", "as old as")]
)
def test_there_may_be_no_such_backup(at: str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        choose(parse(LISTED), "db", at)


NOW = datetime(2026, 2, 10, 12, tzinfo=UTC)


def _backup(hours: float | None = None, since: float = 1000, failures: int = 0) -> Backup:
    return Backup(
        is_scheduled=True,
        runs=False,
        next="Wed 2026-02-11 03:00:00 UTC",
        since=NOW - timedelta(hours=since),
        good=None if hours is None else NOW - timedelta(hours=hours),
        failures=failures,
        said="no space left" if failures else "",
    )


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (_backup(9), 0),
        (_backup(25), 0),
        (_backup(33, failures=1), 1),
        (_backup(57, failures=2), 2),
        # The host was down, or its timer did not run.
        (_backup(31), 1),
        (_backup(60), 2),
        (_backup(since=20), 0),
        (_backup(since=60), 2),
    ],
)
def test_two_backups_that_are_missing_in_a_row_count(found: Backup, missed: int) -> None:
    assert found.missed(NOW) == missed


def test_a_host_says_why_the_last_backup_failed() -> None:
    row = [
        "active",
        "inactive",
        "Wed",
        "1770000000",
        "8",
        "1",
        "2",
        "1770000000",
        "2",
        "2048",
        "no space left",
    ]
    found = backup(row)
    assert found.is_scheduled
    assert found.failures == 2
    assert "the last 2 failed: no space left" in str(found)
    assert "2.0 kB" in str(found)
    assert "no backup yet" in str(backup(["active", "inactive", "Wed", "1770000000"]))


def test_the_registry_is_verified_as_a_service_is() -> None:
    def subjects(outputs: dict[str, object]) -> list[str]:
        known = {"hosts": {"yard": {"roles": ["registry"]}}, "serviceHosts": {}, "serviceUrls": {}, **outputs}
        running = RunningStack(known, reports={"yard": HostReport("yard")})
        (check,) = (check for check in SERVICES if check.title == "is backed up")
        return check.subjects(running)

    assert subjects({"registryBackup": "yard at 04:00"}) == ["registry on yard"]
    assert subjects({"registryBackup": ""}) == []
    # A stack that an older version updated last.
    assert subjects({}) == []
