"""The rules of .dockerignore, against answers recorded from Docker's own matcher."""

import json
import os
from pathlib import Path

import pytest

from dockerfiles.ignore import Ignore, InvalidPattern, UnreadableFolder, patterns

RECORDED = json.loads((Path(__file__).parent / "ignore_recorded.json").read_text(encoding="utf-8"))
"""A .dockerignore file, a path, and whether it is left out (null where the file is refused), by
github.com/moby/patternmatcher v0.6.0 (`ignorefile.ReadAll`, `MatchesUsingParentResults`). Files and paths were drawn at
random from pieces that are known to be read differently."""


@pytest.mark.parametrize(("text", "path", "ignored"), RECORDED)
def test_docker_answers_the_same(text: str, path: str, ignored: bool | None) -> None:
    if ignored is None:
        with pytest.raises(InvalidPattern):
            Ignore.of(text)
    else:
        assert Ignore.of(text)(path) == ignored


BRACKETS = json.loads((Path(__file__).parent / "brackets_recorded.json").read_text(encoding="utf-8"))
"""Patterns with brackets and backslashes, and the names that `MatchesOrParentMatches` leaves out of `names`."""


@pytest.mark.parametrize(("pattern", "ignored"), BRACKETS["patterns"])
def test_docker_reads_brackets_the_same(pattern: str, ignored: list[str] | None) -> None:
    if ignored is None:
        with pytest.raises(InvalidPattern):
            Ignore.of(pattern)
    else:
        assert [name for name in BRACKETS["names"] if Ignore.of(pattern)(name)] == ignored


def test_a_wildcard_in_brackets_is_refused() -> None:
    with pytest.raises(InvalidPattern, match="write \\* or \\? without"):
        Ignore.of("[*]x")


def test_the_last_pattern_that_matches_decides() -> None:
    rules = Ignore.of("*\n!**/*.py\ntests/**/*.py\n")
    assert not rules("app/main.py")
    assert not rules("main.py")
    assert rules("tests/test_main.py")
    assert rules("README.md")


def test_a_byte_order_mark_is_no_part_of_the_first_pattern() -> None:
    assert patterns("\ufeffnode_modules\n") == ["node_modules"]


def test_only_a_number_sign_in_the_first_column_begins_a_comment() -> None:
    assert patterns("# a\n #b\nc #d\n\n  \n") == ["#b", "c #d"]


def test_lines_and_blanks_are_those_of_docker() -> None:
    assert patterns("a\u2028b\x0cc\x85d\re\r\nf\x1c\r\n\x85g\v\n") == [
        "a\u2028b\x0cc\x85d\re",
        "f\x1c",
        "g",
    ]


def test_blanks_beside_a_slash_are_cut_off() -> None:
    assert patterns("/ a\nb /\n! c /\n/ !d\n") == ["a", "b", "!c", "!d"]


@pytest.mark.parametrize("pattern", ["a|*.b", "^a*", "*.{1}", "?{2,}", "a]|b", "[a]b{1,2}", r"\*a^"])
def test_an_operator_of_regular_expressions_beside_a_wildcard_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPattern, match=r"beside a wildcard, .* write a \?"):
        Ignore.of(pattern)


def test_operators_are_characters_where_docker_compares_text() -> None:
    rules = Ignore.of("a|b\n**/c^d\ne{1}/**\n*.{js,ts}\n[|^]x\n*f\\|g\n")
    assert all(rules(path) for path in ("a|b", "x/c^d", "e{1}/y", "z.{js,ts}", "|x", "^x", "f|g"))
    assert not any(rules(path) for path in ("a", "b", "z.js", "e/y"))


@pytest.mark.parametrize("pattern", ["\\é", "*\\\U0001f600"])
def test_a_backslash_ahead_of_a_character_outside_ascii_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPattern, match="outside ASCII"):
        Ignore.of(pattern)


@pytest.mark.parametrize("text", ["a[", "a\\", "!", "!/."])
def test_a_pattern_that_docker_refuses_is_refused(text: str) -> None:
    with pytest.raises(InvalidPattern):
        Ignore.of(text)


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_a_walk_yields_what_is_left_in_a_fixed_order(tmp_path: Path) -> None:
    make(tmp_path, "b/z.py", "b/a.txt", "a.py", "b.py", ".git/config")
    assert list(Ignore.of("**/*.txt\n.git\n").walk(tmp_path)) == ["a.py", "b", "b/z.py", "b.py"]


def test_an_ignored_folder_is_entered_only_for_an_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "node_modules/a/b.js", "docs/api/a.md", "docs/b.html", "src/c.py")
    entered: list[str] = []
    scandir = os.scandir

    def watched(path: str) -> object:
        entered.append(os.path.relpath(path, tmp_path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    found = list(Ignore.of("*\n!docs/api/*.md\n!src\n").walk(tmp_path))
    assert found == ["docs/api/a.md", "src", "src/c.py"]
    assert "node_modules" not in entered
    assert sorted(entered) == [".", "docs", "docs/api", "src"]


def test_an_exception_that_may_be_anywhere_opens_every_folder(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c.py", "a/b/d.txt")
    assert list(Ignore.of("*\n!**/*.py\n").walk(tmp_path)) == ["a/b/c.py"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "real/a")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "gone").symlink_to("nowhere")
    assert list(Ignore.of("").walk(tmp_path)) == ["gone", "link", "real", "real/a"]


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder `data` belongs to another user. The tests may run as root, who reads every folder."""
    scandir = os.scandir

    def refused(path: str | Path) -> object:
        if str(path).endswith("/data"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)


@pytest.mark.usefixtures("unreadable")
def test_an_ignored_folder_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, "data/db", "a.py", "b.txt")
    assert list(Ignore.of("*\n!**/*.py\n").walk(tmp_path)) == ["a.py"]


@pytest.mark.usefixtures("unreadable")
def test_a_folder_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    make(tmp_path, "x/data/db")
    with pytest.raises(UnreadableFolder, match="the folder 'x/data' cannot be read: Permission denied"):
        list(Ignore.of("").walk(tmp_path))


def test_a_context_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFolder, match=r"the folder '\.' cannot be read: No such file or directory"):
        list(Ignore.of("").walk(tmp_path / "gone"))


def test_folders_may_be_nested_deeper_than_functions(tmp_path: Path) -> None:
    deepest = tmp_path
    try:
        for _ in range(1200):
            deepest /= "d"
            deepest.mkdir()
        found = list(Ignore.of("").walk(tmp_path))
        assert found[-1] == "/".join("d" * 1200)
        assert len(found) == 1200
    finally:
        # pytest removes folders with a function for each level.
        while deepest != tmp_path:
            deepest.rmdir()
            deepest = deepest.parent
