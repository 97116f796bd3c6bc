"""How sizes, ages, tags and revisions read."""

from datetime import UTC, datetime

import pytest

from cli.text import (
    age,
    clean,
    clean_log_line,
    first_line,
    first_tags,
    short_revision,
    size,
    without_credentials,
)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", "-"),
        ("a", "a"),
        ("abcd", "a, b, c, d"),
        ("abcde", "a, b, c and 2 more"),
    ],
)
def test_many_tags_do_not_fill_the_table(tags: str, expected: str) -> None:
    assert first_tags(tuple(tags)) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345, "12.3 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (156_594_998, "157 MB"),
        (3 * 10**15, "3000 TB"),
    ],
)
def test_sizes_are_as_people_read_them(count: int, expected: str) -> None:
    assert size(count) == expected


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ("2026-01-10T11:59:30Z", "30 s"),
        ("2026-01-10T11:55:00.123456789Z", "4 min"),
        ("2026-01-10T10:00:00+01:00", "3 h"),
        ("2026-01-08T11:00:00", "2 d"),
        ("2026-01-10T12:00:05Z", "0 s"),
        ("", ""),
        ("yesterday", ""),
    ],
)
def test_ages_are_in_their_largest_unit(created: str, expected: str) -> None:
    assert age(created, datetime(2026, 1, 10, 12, tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    ("revision", "expected"),
    [("", ""), ("a" * 40, "a" * 12), (f"{'a' * 40}-dirty", f"{'a' * 12}-dirty"), ("v1", "v1")],
)
def test_revisions_are_short(revision: str, expected: str) -> None:
    assert short_revision(revision) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ""), ("\n one\ntwo", "one"), ("x" * 100, "x" * 100), ("x" * 101, f"{'x' * 99}…")],
)
def test_a_quoted_line_is_short(text: str, expected: str) -> None:
    assert first_line(text) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüße, ✓\tand\nmore", "grüße, ✓\tand\nmore"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
        ("over\rwritten\r\n", "over\\rwritten\n"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x9b2J", "\\x9b2J"),
        ("\ud800", "\\ud800"),
        ("\x00\x08\x7f", "\\x00\\x08\\x7f"),
    ],
)
def test_a_terminal_obeys_nothing_that_comes_from_elsewhere(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert clean(shown) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m and \x1b[38;5;8mgrey", "\x1b[1;31mred\x1b[0m and \x1b[38;5;8mgrey\x1b[0m"),
        # Hidden text.
        ("\x1b[8mhidden", "hidden\x1b[0m"),
        ("\x1b[31mred\x1b]52;c;Y29weQ==\x07", "\x1b[31mred\\x1b]52;c;Y29weQ==\\x07\x1b[0m"),
        ("\x1b[6n", "\\x1b[6n\x1b[0m"),
    ],
)
def test_a_log_line_keeps_its_colours_only(line: str, shown: str) -> None:
    assert clean_log_line(line, colours=True) == shown
    assert "\x1b" not in clean_log_line(line, colours=False)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://github.com/team/app.git", "https://github.com/team/app.git"),
        ("https://alice:pa55@github.com/app", "https://…@github.com/app"),
        ("https://ghp_pa55@github.com/app", "https://…@github.com/app"),
        ("https://alice:pa%355@github.com", "https://…@github.com"),
        ("https://alice:pa@55@github.com/app", "https://…@github.com/app"),
        ("https://alice:pa/55@github.com/app", "https://…@github.com/app"),
        ("https://:pa55@[::1]:8080/app", "https://…@[::1]:8080/app"),
        (
            "postgres://state:pa55@db:5432/slipway?sslmode=require",
            "postgres://…@db:5432/slipway?sslmode=require",
        ),
        ("HTTPS://Alice:pa55@GitHub.com/", "HTTPS://…@GitHub.com/"),
        ("git+https://alice:pa55@host/app", "git+https://…@host/app"),
        ("ssh://git@github.com/app", "ssh://git@github.com/app"),
        ("ssh://git:pa55@github.com/app", "ssh://…@github.com/app"),
        ("git@github.com:team/app.git", "git@github.com:team/app.git"),
        ("https://host/app?access_token=pa55&x=1", "https://host/app?access_token=…&x=1"),
        ("https://host/app?X-Amz-Signature=pa55", "https://host/app?X-Amz-Signature=…"),
        ("yard:5000/web@sha256:0123", "yard:5000/web@sha256:0123"),
        ("https://yard:5000/web@sha256:0123", "https://yard:5000/web@sha256:0123"),
        ("from 'https://a:pa55@x/y' and \"http://b:pa55@z\"", "from 'https://…@x/y' and \"http://…@z\""),
    ],
)
def test_no_credentials_are_shown_with_a_url(url: str, shown: str) -> None:
    assert without_credentials(url) == clean(url) == shown
    assert clean_log_line(url, colours=False) == shown
