"""The proxies' access log: which lines `slip logs proxy --status` chooses."""

import pytest

from cli.access_log import chosen, filter_of, status_of
from cli.errors import CommandError

LINES = [
    ("web-1", line)
    for line in (
        '{"status": 200, "path": "/a"}',
        '{"status": 503, "path": "/b"}',
        "[NOTICE] (1) : New worker (8) forked",
        '{"refused": "SSL handshake failure"}',
        "[503]",
        '{"status": 404, "path": "/503"}',
        '{"status": 502, "path": "/c"}',
    )
]


@pytest.mark.parametrize(
    ("status", "tail", "numbers"),
    [
        ("5xx", "all", [1, 6]),
        ("5XX", "1", [6]),
        ("404,50x", None, [1, 5, 6]),
        ("200", "100", [0]),
        ("302", "100", []),
        ("5xx", "0", []),
    ],
)
def test_lines_with_such_a_status_are_chosen(status: str, tail: str | None, numbers: list[int]) -> None:
    wanted = filter_of(status)
    assert wanted
    assert list(chosen(LINES, wanted, tail)) == [LINES[number] for number in numbers]


def test_a_line_is_given_as_it_comes() -> None:
    wanted = filter_of("5xx")
    assert wanted
    coming = iter(LINES)
    assert next(chosen(coming, wanted, None)) == LINES[1]
    assert next(coming) == LINES[2]


@pytest.mark.parametrize("status", ["6xx", "5", "5x", "500-503", "x", "5xx,", "\u0665xx"])
def test_what_is_no_status_is_refused(status: str) -> None:
    with pytest.raises(CommandError, match="neither a status nor a class") as caught:
        filter_of(status)
    assert caught.value.status == 2


def test_without_a_status_nothing_is_chosen() -> None:
    assert filter_of("") is None
    assert status_of("") == ""
