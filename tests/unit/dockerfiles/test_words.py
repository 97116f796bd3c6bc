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
