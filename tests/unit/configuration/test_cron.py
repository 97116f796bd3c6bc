"""Schedules in cron's syntax, as systemd's timers have them."""

import shutil
import subprocess

import pytest

from configuration.cron import InvalidSchedule, calendars

CASES = {
    "17 3 * * *": ["*-*-* 03:17:00"],
    "@hourly": ["*-*-* *:00:00"],
    "*/20 8-10 * * 1-5": ["Mon,Tue,Wed,Thu,Fri *-*-* 08,09,10:00,20,40:00"],
    "0 0 1 jan,jul *": ["*-01,07-01 00:00:00"],
    "5/25 * * * *": ["*-*-* *:05,30,55:00"],
    "0 12 * * 7": ["Sun *-*-* 12:00:00"],
    "0 12 * * fri-7": ["Sun,Fri,Sat *-*-* 12:00:00"],
    # One or the other, as cron has it.
    "0 4 1,15 * mon": ["*-*-01,15 04:00:00", "Mon *-*-* 04:00:00"],
    "0 4 */2 * mon": ["Mon *-*-" + ",".join(f"{day:02}" for day in range(1, 32, 2)) + " 04:00:00"],
}


@pytest.mark.parametrize(("schedule", "expected"), CASES.items())
def test_a_schedule_means_times_of_systemd(schedule: str, expected: list[str]) -> None:
    assert calendars(schedule) == expected


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("schedule", CASES)
def test_systemd_takes_it(schedule: str) -> None:
    for one in calendars(schedule):
        done = subprocess.run(
            ["systemd-analyze", "calendar", f"{one} Europe/Berlin"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Next elapse: never" not in done.stdout


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("", "empty"),
        ("0 3 * *", "4 fields in place of 5"),
        ("60 3 * * *", "the minute 60, which is not from 0 to 59"),
        ("0 3 * * mo", "the day of the week mo"),
        ("0 3 0 * *", "the day of the month 0, which is not from 1 to 31"),
        ("0 3 30,31 2 *", "never comes"),
        ("0 9-8 * * *", "the hour 9-8"),
        ("*/0 * * * *", r"the minute \*/0"),
        ("@reboot", "1 fields in place of 5"),
        ("0 3 * * *; id", "6 fields"),
    ],
)
def test_what_is_no_schedule_is_told(schedule: str, words: str) -> None:
    with pytest.raises(InvalidSchedule, match=words):
        calendars(schedule)
