"""Patterns with wildcards: that they match at once, whatever a stranger writes."""

import pytest

from dockerfiles.wildcards import Wildcards


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many places were followed with each character."""
    counted: list[int] = []
    reached = Wildcards._reached

    def counting(self: Wildcards, state: object, character: str) -> object:
        counted.append(len(state.places))  # type: ignore[attr-defined]
        return reached(self, state, character)  # type: ignore[arg-type]

    monkeypatch.setattr(Wildcards, "_reached", counting)
    return counted


SLOW: dict[str, tuple[str, str]] = {
    "eight stars": ("*a" * 8 + "b", "a" * 120),
    "ten times any folder": ("**/" * 10 + "b", "/".join("a" * 25)),
    "ten folders": ("**/a/" * 10 + "b", "/".join("a" * 25)),
    "stars and folders": ("**/*a*a*a*a/" * 5 + "b", "/".join(["aaaa"] * 30)),
}


@pytest.mark.parametrize(("pattern", "path"), SLOW.values(), ids=SLOW)
def test_each_character_of_a_path_is_followed_once(pattern: str, path: str, steps: list[int]) -> None:
    wildcards = Wildcards(pattern)
    assert not wildcards.match(path)
    assert 0 < len(steps) <= len(path)
    # A `**/` is two places, and one more is behind the last part.
    assert sum(steps) <= len(path) * (len(pattern) + 1)


def test_steps_are_remembered(steps: list[int]) -> None:
    wildcards = Wildcards("**/*.py")
    assert wildcards.match("a/bb.py")
    before = len(steps)
    assert wildcards.match("a/bb.py")
    assert len(steps) == before


def test_what_is_remembered_has_a_limit() -> None:
    wildcards = Wildcards("*a" + "?" * 12)
    numbers = [format(number, "014b").replace("0", "a").replace("1", "b") for number in range(1 << 12)]
    assert [wildcards.match(number) for number in numbers] == [number[1] == "a" for number in numbers]
    assert len(wildcards._states) <= 500


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [("a/**", True), ("**b", True), ("**/b", True), ("a/?/b", True), ("a/*/b", True), ("a**?b", False)],
)
def test_a_line_end_in_a_name_counts_as_in_go(pattern: str, matches: bool) -> None:
    assert Wildcards(pattern).match("a/\n/b") == matches
