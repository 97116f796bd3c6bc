"""What YAML makes of values without quotation marks, by the rules of Pulumi's library."""

import pytest

from stackfile.scalars import misread, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0022", 18),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("-9223372036854775809", -(2.0**63)),
        ("0x10000000000000000", "0x10000000000000000"),
        ("1e400", "1e400"),
        pytest.param("9" * 5000, "9" * 5000, id="5000 digits"),
        pytest.param("0x" + "f" * 5000, "0x" + "f" * 5000, id="5000 hexadecimal digits"),
        ("01234", 668),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("+5", 5),
        ("-3", -3),
        ("0080", 80.0),
        ("1e3", 1000.0),
        ("1.10", 1.1),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0", 0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("yes", "yes"),
        ("on", "on"),
        ("n", "n"),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("10.0.0.1", "10.0.0.1"),
        ("_1", "_1"),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("v1", "v1"),
        ("1e", "1e"),
        ("0x", "0x"),
        ("e3", "e3"),
    ],
)
def test_it_is_read_as_pulumi_does(text: str, value: object) -> None:
    found = read(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("0022", "18"),
        ("01234", "668"),
        ("1_000", "1000"),
        ("0x1F", "31"),
        ("0b1", "1"),
        ("0o17", "15"),
        ("+5", "5"),
        ("1e3", "1000"),
        ("12e5", "1200000"),
        ("1.10", "1.1"),
        ("1.0", "1"),
        (".5", "0.5"),
        ("0080", "80"),
        ("-0", "0"),
        ("00", "0"),
        ("-0.0", "0"),
        ("0.10", "0.1"),
        ("12345678901234567890", "a number, of which only the first 15 digits are kept"),
        ("1000000000000000000000000", "a number, of which only the first 15 digits are kept"),
        ("9007199254740993", "a number, of which only the first 15 digits are kept"),
        ("2026-01-02", "a date"),
        ("2026-1-2", "a date"),
        ("2026-01-02T10:00:00Z", "a date"),
        ("2026-01-02 10:00", "a date"),
        ("1:30", "a number to the base 60 by some tools"),
        ("12:30:45", "a number to the base 60 by some tools"),
        (".inf", "a number that is not finite"),
        ("-.Inf", "a number that is not finite"),
        (".nan", "a number that is not finite"),
        ("1e400", "a number that is not finite"),
    ],
)
def test_what_is_not_as_written_is_told(text: str, becomes: str) -> None:
    assert misread(text) == becomes


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0",
            "1",
            "-1",
            "8080",
            "123456789012345",
            "1.5",
            "0.25",
            "-2.75",
            "",
            "~",
            "null",
            "true",
            "False",
        ),
        *(
            "yes",
            "no",
            "on",
            "off",
            "y",
            "=",
            "<<",
            "1.2.3",
            "28.5.2",
            "10.0.0.0/16",
            "127.0.0.1:80",
            "debian:12",
            "v1",
        ),
        *(
            "00:11:22:33:44:55",
            "sha256:12",
            "2026",
            "2026-01",
            "12a",
            "0xg",
            "1__x",
            "-",
            ".",
            "+",
            "1e",
            "infinity",
            "nan",
        ),
    ],
)
def test_what_stays_as_written_is_accepted(text: str) -> None:
    assert misread(text) == ""
