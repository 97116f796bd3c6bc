"""Variables in words, against answers recorded from BuildKit."""

import json
from pathlib import Path

import pytest

from dockerfiles.words import DEPTH, InvalidWord, expand

RECORDED = json.loads((Path(__file__).parent / "words_recorded.json").read_text(encoding="utf-8"))
"""A word, and what github.com/moby/buildkit v0.17.3 (`shell.NewLex`, `ProcessWord`) makes of it with A=va and an
empty E; null where it refuses the word. The words were put together at random from the kinds of expressions."""


@pytest.mark.parametrize(("word", "expanded"), RECORDED)
def test_buildkit_answers_the_same(word: str, expanded: str | None) -> None:
    if expanded is None:
        with pytest.raises(InvalidWord):
            expand(word, {"A": "va", "E": ""})
    else:
        assert expand(word, {"A": "va", "E": ""}) == expanded


def test_the_escape_character_is_the_dockerfiles_own() -> None:
    assert expand("`$A\\b", {"A": "x"}, "`") == "$A\\b"


def test_variables_may_be_nested_up_to_a_limit() -> None:
    assert expand("${B:-" * DEPTH + "x" + "}" * DEPTH, {}) == "x"
    with pytest.raises(InvalidWord, match="nested"):
        expand('"${B:-' * 600 + "x" + '}"' * 600, {})


@pytest.mark.parametrize("word", ["${", "${}", "${:a}", "${{a}}", "${A.b}", "${A:x}", "${A:#x}", "${A/b}"])
def test_an_expression_that_buildkit_refuses(word: str) -> None:
    with pytest.raises(InvalidWord):
        expand(word, {"A": "va"})


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        # The examples of Docker's Dockerfile reference.
        ("${S#f*b}", "arbaz"),
        ("${S##f*b}", "az"),
        ("${T%b*}", "foobar"),
        ("${T%%b*}", "foo"),
        ("${U/ba/fo}", "forbaz"),
        ("${U//ba/fo}", "forfoz"),
        ("${S#x}", "foobarbaz"),
        ("${S#}", "foobarbaz"),
        ("${S#???}", "barbaz"),
        ("${S%*}", "foobarbaz"),
        ("${S%%*}", ""),
        ("${V#v}-slim", "1.2.3-slim"),
        ("${V%.*}", "v1.2"),
        ("${V%%.*}", "v1"),
        ("${V/./}", "v12.3"),
        ("${V//./-}", "v1-2-3"),
        ("${P#*\\/}", "b/c"),
        ("${P##*\\/}", "c"),
        ("${P//\\//-}", "a-b-c"),
        ("${B#\\*}", "x"),
        ("${U//*/y}", "y"),
        ("${NONE#x}${NONE/x/y}", ""),
        ("debian:${R#*:}", "debian:12"),
    ],
)
def test_values_are_cut_as_buildkit_does(word: str, expanded: str) -> None:
    values = {
        "S": "foobarbaz",
        "T": "foobarbaz",
        "U": "barbaz",
        "V": "v1.2.3",
        "P": "a/b/c",
        "B": "*x",
        "R": "x:12",
    }
    assert expand(word, values) == expanded


@pytest.mark.parametrize("word", ["${A#\\x}", "${L#x}", "${L/x/y}"])
def test_a_cut_that_is_refused(word: str) -> None:
    with pytest.raises(InvalidWord):
        expand(word, {"A": "va", "L": "x" * 1001})


def test_a_hostile_pattern_takes_no_time() -> None:
    assert expand("${A%%" + "*a" * 40 + "b}", {"A": "a" * 1000}) == "a" * 1000
