"""The instructions of Dockerfiles, against answers recorded from BuildKit."""

import json
from pathlib import Path
from typing import Any

import pytest

from dockerfiles.instructions import LINE_LENGTH, InvalidInstruction, parse

RECORDED = json.loads((Path(__file__).parent / "instructions_recorded.json").read_text(encoding="utf-8"))
"""A Dockerfile, and what github.com/moby/buildkit v0.17.3 (`frontend/dockerfile/parser`, `Parse`) makes of it: the
escape character, and for each instruction its name, flags, words (of ARG and FROM only) and first line; null where it
refuses the file. The files were put together at random from pieces that are easily read wrongly."""


def read(text: str) -> Any:
    found = parse(text)
    # BuildKit reads the words of VOLUME later.
    words = [[] if i.name.lower() == "volume" else list(i.words) for i in found.all]
    return [found.escape, [[i.name, list(i.flags), w, i.line] for i, w in zip(found.all, words, strict=True)]]


@pytest.mark.parametrize(("text", "instructions"), RECORDED)
def test_buildkit_answers_the_same(text: str, instructions: Any) -> None:
    if instructions is None:
        with pytest.raises(InvalidInstruction):
            parse(text)
    else:
        assert read(text) == instructions


WORDS: dict[str, tuple[str, list[tuple[str, ...]]]] = {
    "quotes keep blanks in ARG": ('ARG A="a b" C=d\n', [('A="a b"', "C=d")]),
    "quotes keep no blanks in FROM": ('FROM "a b"\n', [('"a', 'b"')]),
    "comments and blank lines in a continued line": (
        "FROM a \\\n# b\n\n  # c \\\n AS d\n",
        [("a", "AS", "d")],
    ),
    "blanks behind the escape character": ("FROM a \\ \t\n AS b\n", [("a", "AS", "b")]),
    "an escape character without a next line": ("FROM a \\", [("a",)]),
    "a directive only at the top": ("\n# escape=`\nFROM a `\nARG b\n", [("a", "`"), ("b",)]),
    "a directive in capitals": ("# syntax=x\n# ESCAPE = `\nFROM a `\n b\n", [("a", "b")]),
    "another comment ends the directives": ("# x\n# escape=`\nFROM a \\\n b\n", [("a", "b")]),
    "two heredocs": ("FROM a\nRUN <<A <<'B'\nFROM A\nA\nFROM B\nB\nARG c\n", [("a",), (), ("c",)]),
    "a heredoc in ONBUILD": ("FROM a\nONBUILD RUN <<A\nFROM b\nA\n", [("a",), ()]),
    "no heredoc in CMD": ("CMD <<A\nFROM b\n", [(), ("b",)]),
    "no heredoc in a list": ('RUN ["<<A"]\nFROM b\n', [(), ("b",)]),
    "no heredoc in quotes": ("RUN '<<A'\nFROM b\n", [(), ("b",)]),
    "tabs ahead of a heredoc's end": ("RUN <<-A\n\tFROM b\n\tA\nFROM c\n", [(), ("c",)]),
    "a line of the greatest length": ("FROM a\nRUN " + "x" * (LINE_LENGTH - 4), [("a",), ()]),
}


@pytest.mark.parametrize(("text", "words"), WORDS.values(), ids=WORDS)
def test_words(text: str, words: list[tuple[str, ...]]) -> None:
    assert [instruction.words for instruction in parse(text).all] == words


def test_flags_are_those_directly_behind_the_name() -> None:
    (instruction,) = parse("COPY --from='a b' --x=\\\" -- --y a --z\n").all
    assert instruction.flags == ("--from=a b", '--x="')


REFUSED: dict[str, tuple[str, str]] = {
    "nothing": ("", "no instructions"),
    "comments only": ("# a\n\n", "no instructions"),
    "a heredoc without its end": ("FROM a\nRUN <<A\nx\n", "line 2: the heredoc has no end A"),
    "a directive twice": ("# escape=`\n# escape=`\nFROM a\n", "line 2: the directive escape"),
    "another escape character": ("# escape=x\nFROM a\n", r"line 1: the escape character"),
    "no escape character": ("# escape= \nFROM a\n", r"line 1: the escape character"),
    "a list of numbers": ("FROM a\nCMD [1]\n", "line 2: a JSON list"),
    "ENV without a value": ("FROM a\nENV A=b C\n", "line 2: ENV needs NAME=VALUE"),
    "a line that is too long": (
        "FROM a\nRUN " + "x" * (LINE_LENGTH - 3),
        "line 2: it has more than 65535 bytes",
    ),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_buildkit_refuses(text: str, reason: str) -> None:
    with pytest.raises(InvalidInstruction, match=reason):
        parse(text)


@pytest.mark.parametrize(
    "text",
    ["ONBUILD " * 5000 + "RUN x", "CMD " + "[" * 20_000, "RUN <<" + "${A:-" * 5000 + "}" * 5000],
    ids=["ONBUILD", "a list", "variables"],
)
def test_deep_nesting_is_an_error(text: str) -> None:
    with pytest.raises(InvalidInstruction, match=r"nested|cannot follow"):
        parse(text)
