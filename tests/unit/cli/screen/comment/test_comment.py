"""The comment on a pull request, compared with files."""

import re

import pytest

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
    page = (HERE.parents[4] / "docs/pull_requests.md").read_text()
    assert f"````markdown\n{comment(CASES['code-change']())}````\n" in page
