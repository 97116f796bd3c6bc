"""What containers use: the lines of scripts/usage.sh as data, and the table."""

import pytest

from cli import top
from cli.running.usage import Samples, Use


def take(samples: Samples, *lines: str) -> list[Use] | None:
    found = [samples.take(line) for line in lines]
    assert found[:-1] == [None] * (len(lines) - 1)
    return found[-1]


def test_cpu_is_what_was_spent_between_two_samples() -> None:
    samples = Samples("web-1")
    assert take(samples, "begin\t100.0", "use\tweb-a\tweb\t5000000\t1000", "end") is None
    second = take(
        samples,
        *("begin\t102.0", "use\tweb-a\tweb\t6000000\t2000", "use\tweb-b\tweb\t7000000\t10"),
        *("use\tproxy\tproxy\t-\t20", "end"),
    )
    assert second == [
        Use("web", "web-1", "web-a", 0.5, 2000),
        # It is new, so nothing is known yet.
        Use("web", "web-1", "web-b", None, 10),
        Use("proxy", "web-1", "proxy", None, 20),
    ]
    third = take(samples, "begin\t104.0", "use\tweb-b\tweb\t7500000\t10", "use\tweb-a\tweb\t10\t1", "end")
    assert third == [Use("web", "web-1", "web-b", 0.25, 10), Use("web", "web-1", "web-a", 0.0, 1)]


def test_what_makes_no_sense_is_an_error() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        Samples("web-1").take("use\tweb-a")


def test_the_busiest_container_comes_first() -> None:
    idle, busy, unknown = (
        Use("web", "web-1", "web-a", 0.0, 5_000_000),
        Use("web", "web-2", "web-b", 1.5, 1_000_000),
        Use("api", "web-1", "api-a", None, 9_000_000),
    )
    assert top.ordered({"web-1": [idle, unknown], "web-2": [busy]}) == [busy, unknown, idle]
    assert top.row(busy) == ("web", "web-2", "150.0%", "1.0 MB", "web-b")
    assert top.row(unknown)[2] == "-"
