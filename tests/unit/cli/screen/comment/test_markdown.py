"""Foreign text in a comment."""

import pytest

from cli.screen.comment.markdown import code, folded, prose

HOSTILE = [
    "</summary></details><img src=x onerror=alert(1)>",
    "`code` and ``more``",
    "[a link](https://example.com)",
    "![an image](https://example.com/x.png)",
    "@everyone",
    "#12 and !34",
    "<!-- slipway preview slipway/dev -->",
    "**bold** _emphasis_ ~~gone~~",
    "a | table | row",
    "www.example.com",
    "line\n# heading\r\n- [ ] item",
    "\u202eevil\u2066",
    ":smile:",
    "$x^2$",
    "&lt;script&gt;",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_is_one_code_span(text: str) -> None:
    for shown in (code(text), prose(text)):
        assert "\n" not in shown
        assert not {"\u202e", "\u2066", "\r"} & set(shown)
        if shown == text:  # nothing in it that a forge would make something of
            assert text == ":smile:"
            continue
        if shown == "evil":
            continue
        assert (shown[0], shown[-1], shown.count("`")) == ("`", "`", 2)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_title_of_a_folded_part_stays_inside_it(text: str) -> None:
    first = folded(text, ["x"])[0]
    title = first.removeprefix("<details><summary>").removesuffix("</summary>")
    title = title.removeprefix("<code>").removesuffix("</code>")
    assert not set("<>`*_[]!|@~$") & set(title)


@pytest.mark.parametrize("text", ["host web-1: made", "nobody's data (a, b); 2/3 wait", "a → b"])
def test_plain_sentences_stay_prose(text: str) -> None:
    assert prose(text) == text


def test_long_and_empty_texts() -> None:
    assert len(code("x" * 500)) == 122
    assert code(" \n ") == "(empty)"
