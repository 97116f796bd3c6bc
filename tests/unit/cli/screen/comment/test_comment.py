"""The comment on a pull request, compared with files."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from cli.screen.comment.comment import LIMITS, comment, failed, marker
from tests.unit.cli.screen.comment.cases import CASES, HERE, many, recorded


@pytest.mark.parametrize("name", CASES)
def test_the_comment_is_the_kept_one(name: str) -> None:
    """`python -m tests.unit.cli.screen.comment.cases` writes them again; look at the difference."""
    assert comment(CASES[name]()) == (HERE / "expected" / f"{name}.md").read_text()


@pytest.mark.parametrize("name", CASES)
def test_every_comment_begins_with_its_mark_and_who_notices(name: str) -> None:
    lines = comment(CASES[name]()).splitlines()
    assert lines[:3] == [marker("slipway", "local"), "## Preview of `local`", ""]
    assert lines[3].startswith("**")
    assert lines[3].endswith("**")


@pytest.mark.parametrize("name", CASES)
def test_html_is_that_of_folded_parts_only(name: str) -> None:
    """Outside of code spans there is no other tag, and each part that opens is closed."""
    text = re.sub(r"`[^`\n]*`", "", comment(CASES[name]()).partition("\n")[2])
    tags = re.findall(r"<[^>]*>?", text)
    assert set(tags) <= {"<details>", "</details>", "<summary>", "</summary>", "<code>", "</code>"}
    assert tags.count("<details>") == tags.count("</details>")
    assert not re.search(r"@\w|https?://|!\[|\]\(", text)


class Page(HTMLParser):
    """The tags of a page, and its text outside of code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.plain = ""
        self._depth = 0
        self.feed(MarkdownIt("commonmark", {"html": True}).render(text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._depth += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")
        self._depth -= tag == "code"

    def handle_data(self, data: str) -> None:
        self.plain += "" if self._depth else data


@pytest.mark.parametrize("name", CASES)
def test_a_page_of_the_comment_has_nothing_that_came_from_outside(name: str) -> None:
    page = Page(comment(CASES[name]()))
    shown = {tag.removeprefix("/") for tag in page.tags}
    assert shown <= {"h2", "h3", "p", "strong", "ul", "li", "code", "details", "summary"}
    assert page.attributes == []
    assert all(page.tags.count(tag) == page.tags.count(f"/{tag}") for tag in shown)
    assert not re.search(r"@|https?:|www\.|#\d|<", page.plain)


@pytest.mark.parametrize("hosts", [1, 40, 200])
@pytest.mark.parametrize("limit", [*set(LIMITS.values()), 20_000, 2_000])
def test_a_comment_is_no_longer_than_its_forge_allows(hosts: int, limit: int) -> None:
    text = comment(many(hosts), limit)
    assert len(text.encode()) <= limit
    assert "**Nobody notices.**" in text
    if limit > 2_000:
        assert f"{4 * hosts} to make, {hosts} to replace" in text
    assert text.count("<details>") == text.count("</details>")


def test_200_resources_are_there_one_by_one() -> None:
    text = comment(many(40))
    assert all(f"`api-web-{number}`" in text and f"`web-{number}-setup`" in text for number in range(1, 41))
    assert "Some details are left out" not in text


def test_details_go_before_names() -> None:
    everything = len(comment(many(100), 10**9).encode())
    less = comment(many(100), everything - 1)
    assert "`api-web-100`: `envs`; `image`; `memory`" in less
    assert "Some details are left out" in less


def test_what_the_policy_refuses_is_on_top_and_cannot_be_approved() -> None:
    refused = replace(
        CASES["secret-change"](), refusals=["no-latest: <b>web</b>"], advice=["log-rotation: web"]
    )
    text = comment(refused)
    assert text.splitlines()[3:6] == ["**The policy refuses this:**", "", "- `no-latest: <b>web</b>`"]
    assert "### Warnings\n\n- log-rotation: web\n" in text
    assert "--approved" not in text


def test_the_comment_of_a_failure_quotes_nothing() -> None:
    assert failed("slipway", "dev").splitlines() == [
        "<!-- slipway preview slipway/dev -->",
        "## Preview of `dev`",
        "",
        "**The preview failed.** The job's log says why.",
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lost-volume", "**Data is lost:**"),
        ("host-replacement", "**A host is replaced or removed:**"),
        ("code-change", "**Nobody notices.**"),
        ("no-change", "**Nobody notices.**"),
        ("first-deployment", "**Nobody notices.**"),
        ("secret-change", "**Nobody notices.**"),
    ],
)
def test_who_notices(name: str, words: str) -> None:
    assert words in comment(CASES[name]())


def test_no_secret_of_the_recorded_stack_is_in_a_comment() -> None:
    """The secret's values were topsecretvalue1 and topsecretvalue2."""
    text = comment(CASES["secret-change"]())
    assert recorded("secret-change").changes
    assert "topsecret" not in text
    assert "changed (secret)" in text


def test_the_documentation_shows_a_comment_as_it_is() -> None:
    page = (HERE.parents[4] / "docs/pull-requests.md").read_text()
    assert f"````markdown\n{comment(CASES['code-change']())}````\n" in page
