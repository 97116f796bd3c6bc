"""A stack's file as it is written: lines, keys, and mistakes with what to do."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stackfile import document, scalars
from stackfile.document import Document, UnreadableFile

SECRET = "a-secret-password"
BOMB = "config:\n  a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  {after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, after in zip("abcde", "bcdef", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("config:\n\tslipway:hosts: 1\n", 2, "slipway:hosts: a tab in the indentation. Indent with spaces."),
        ("config:\n  slipway:hosts:\n\t a: 1\n", 3, "a tab in the indentation"),
        (
            f'config:\n  slipway:secrets:\n    A: "{SECRET}\n    b: 1\n',
            3,
            "secrets.A: a text that begins with a quotation mark",
        ),
        ("config:\n  a: 1\n b: 2\n", 3, "b: indentation that fits no line above it"),
        ("config:\n  a: {b: 1}\n   c: 1\n", 3, "c: indentation that fits no line above it"),
        ("config:\n  slipway:hosts\n    a: 1\n", 2, "slipway:hosts has no colon at its end"),
        ("config:\n  a: b: c\n", 2, "a: a second `: ` in one line"),
        ("config:\n  a: {b: [c}\n", 2, "a: a list or map in brackets that does not end"),
        ("config:\n  a: [b, c\n", 2, "a: a list or map in brackets that does not end"),
        ('config:\n  a: "\\d+"\n', 2, "a: a backslash in double quotes that begins no escape"),
        ('config:\n  a: "\\ud800"\n', 2, "a: a backslash in double quotes that begins no escape"),
        ("config:\n  a: 'it's'\n", 2, "a: characters behind a closing quotation mark"),
        ('config:\n  a: [1, "b" c]\n', 2, "a: characters behind a closing quotation mark"),
        ("config:\n  a: - b\n", 2, "a: a list that begins in the line of its key"),
        ("config:\n  a: @b\n", 2, "a: a value that begins with a character of YAML's own. Put it in quotes."),
        ("config:\n  a: *.py\n", 2, "a: a value that begins with * or &"),
        ("config:\n  a: *b\n", 2, "a: an alias (*) whose anchor (&) does not exist"),
        ("config: {}\n---\nconfig: {}\n", 2, "a second document begins"),
        ("- a\n", 1, "the file is not a map. Write `config:`"),
        ("hello\n", 1, "the file is not a map"),
        (b"config:\n  a: \xe9\n", 2, "a byte that is not UTF-8"),
        ("config:\n  a: \x01\n", 2, "the control character U+0001"),
        (BOMB, 2, "the anchors in it stand for more than 50000 values"),
        ("config:\n  a: &a [*a]\n", 2, "an anchor contains itself"),
        ("config: " + "[" * 2000 + "]" * 2000, 1, "more than 50 levels"),
    ],
)
def test_a_file_that_is_not_yaml_is_explained(text: str | bytes, line: int, expected: str) -> None:
    with pytest.raises(UnreadableFile) as raised:
        Document.parse(text if isinstance(text, bytes) else text.encode())
    (mistake,) = raised.value.mistakes
    assert mistake.line == line
    assert expected in mistake.text
    assert SECRET not in mistake.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "config:\n  slipway:hosts:\n    a: 1\n    a: 2\n",
            ["line 4: slipway:hosts.a is set twice, first in line 3."],
        ),
        ("a: 1\na: 2\n", ["line 2: a is set twice"]),
        (
            'config:\n  slipway:x:\n    env: {UMASK: 0022, M: "0022"}\n',
            ['YAML reads it as 18. Write 18 if you mean the number, or else put it in quotes: "0022'],
        ),
        ("config:\n  slipway:x:\n    - 1.10\n", ["line 3: slipway:x[0] = 1.10: without quotes"]),
        (
            "config:\n  slipway:x: {DAY: 2026-01-02}\n",
            ["slipway:x.DAY = 2026-01-02: without quotes YAML reads it as a date. If it "],
        ),
        (
            "config:\n  slipway:passwords: {hosts: 0123456789012345}\n",
            ["slipway:passwords.hosts: without quotes"],
        ),
        (
            "config:\n  slipway:x: {1: a, yes: b, ~: c}\n",
            ["the key slipway:x.1 is not a text", "the key slipway:x.~ is not a text"],
        ),
        ("config:\n  slipway:x: {[a]: 1}\n", ["a key below slipway:x is a list or a map"]),
        (
            'config:\n  slipway:x: {A: !secret b, B: !!int "3"}\n',
            ["slipway:x.A has the tag !secret", "slipway:x.B has the tag !!int"],
        ),
        ("config:\n  other:day: 2026-01-02\n  slipway:x: [yes, on, =, 1:2:3:4:5, 8080, 1.5]\n", []),
    ],
)
def test_what_yaml_does_not_refuse_is_found(text: str, expected: list[str]) -> None:
    found = [str(mistake) for mistake in Document.parse(text.encode()).mistakes]
    assert len(found) == len(expected), found
    for mistake, part in zip(found, expected, strict=True):
        assert part in mistake
        assert "0123456789012345" not in mistake


def test_lines_and_merged_maps() -> None:
    found = Document.parse(
        b"\xef\xbb\xbfx: &base {port: 80, health: /up}\nconfig:\n  slipway:services:\n    web:\n"
        b"      <<: *base\n      port: 81\n"
    )
    web = ("config", "slipway:services", "web")
    assert found.content["config"]["slipway:services"]["web"] == {"port": 81, "health": "/up"}
    assert (found.lines[web], found.lines[(*web, "port")]) == (4, 6)


@pytest.mark.parametrize("text", ["", "# nothing\n", "~\n", "---\n"])
def test_an_empty_file_is_an_empty_document(text: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(text)
    assert Document.read(file) == Document()
    assert Document.read(tmp_path / "missing") == Document()


def test_a_folder_or_a_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="cannot be read: Is a directory"):
        Document.read(tmp_path)
    with pytest.raises(UnreadableFile, match="larger than 1 MiB"):
        Document.parse(b"#" * (document.LIMIT + 1))


def test_a_file_that_is_none_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UnreadableFile, match="cannot be read: it is not a regular file"):
        Document.read(tmp_path / "fifo")


def _is_a_text_to_both(text: str) -> bool:
    """Whether the library quotes what Pulumi would read as a number. It follows YAML 1.1, where 0E0 is a text."""
    return isinstance(scalars.read(text), str) or yaml.safe_dump(text)[0] in "'\""


texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20).filter(
    _is_a_text_to_both
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**14), 10**14) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(texts, values, max_size=4), st.booleans())
def test_what_a_library_writes_is_read_back(content: dict[str, object], flow: bool) -> None:
    written = yaml.safe_dump({"config": {"slipway:x": content}}, default_flow_style=flow, allow_unicode=True)
    assert Document.parse(written.encode()).content == {"config": {"slipway:x": content}}


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_bytes_are_a_document_or_one_sentence(data: str | bytes) -> None:
    assert "\n" not in "".join(
        map(str, _mistakes(data if isinstance(data, bytes) else data.encode("utf-8", "replace")))
    )


def _mistakes(data: bytes) -> list[document.Mistake]:
    try:
        return Document.parse(data).mistakes
    except UnreadableFile as error:
        return error.mistakes
