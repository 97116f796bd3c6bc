"""The one issue about a stack's drift, against servers that answer as the forges do."""

from dataclasses import replace

import pytest

from cli.errors import CommandError
from cli.forge.address import GITEA, GITHUB, GITLAB, run_page, tracker
from cli.forge.issue import keep_closed, keep_open
from tests.unit.cli.forge.forges import TOKEN, Forge, serving

MARK = "<!-- slipway drift slipway/dev -->"
KINDS = (GITHUB, GITLAB, GITEA)


def text_of(forge: Forge, issue: dict[str, object]) -> object:
    return issue["description" if forge.kind == GITLAB else "body"]


def is_open(issue: dict[str, object]) -> bool:
    return issue["state"] in {"open", "opened"}


@pytest.mark.parametrize("kind", KINDS)
def test_one_issue_from_the_first_drift_to_the_next(kind: str) -> None:
    """Opened, updated, closed, opened again: never a second one."""
    with serving(Forge(kind)) as forge:
        forge.add_issue("a question", "someone")
        forge.add_issue(f"{MARK.replace('dev', 'prod')}\nof another stack")
        pages = [keep_open(forge.tracker, "Drift", f"{MARK}\nfirst")]
        forge.add_issue("an idea", "someone")
        mine = forge.issues[2]
        assert (is_open(mine), mine["title"], text_of(forge, mine)) == (True, "Drift", f"{MARK}\nfirst")

        pages.append(keep_open(forge.tracker, "Drift", f"{MARK}\nsecond"))
        assert (is_open(mine), text_of(forge, mine)) == (True, f"{MARK}\nsecond")

        pages.append(keep_closed(forge.tracker, f"{MARK}\nwell"))
        assert (is_open(mine), text_of(forge, mine)) == (False, f"{MARK}\nwell")
        assert keep_closed(forge.tracker, f"{MARK}\nwell, again") == ""
        assert text_of(forge, mine) == f"{MARK}\nwell"

        pages.append(keep_open(forge.tracker, "Drift", f"{MARK}\nthird"))
        assert (is_open(mine), text_of(forge, mine)) == (True, f"{MARK}\nthird")
        assert len(forge.issues) == 4
        assert set(pages) == {f"{forge.address}/owner/app/issues/3"}
        assert all(is_open(one) for one in forge.issues)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_closed_where_there_is_none(kind: str) -> None:
    with serving(Forge(kind)) as forge:
        assert keep_closed(forge.tracker, f"{MARK}\nwell") == ""
        assert forge.issues == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_issue_is_found_on_a_later_page(kind: str) -> None:
    with serving(Forge(kind, page=10)) as forge:
        mine = forge.add_issue(f"{MARK}\nfirst")
        for number in range(35):
            forge.add_issue(f"issue {number}", "someone")
        keep_open(forge.tracker, "Drift", f"{MARK}\nsecond")
        assert text_of(forge, mine) == f"{MARK}\nsecond"
        assert len(forge.issues) == 36


@pytest.mark.parametrize("kind", KINDS)
def test_anothers_issue_with_the_mark_is_left_alone(kind: str) -> None:
    with serving(Forge(kind)) as forge:
        forged = forge.add_issue(f"{MARK}\nforged", "someone")
        keep_open(forge.tracker, "Drift", f"{MARK}\nreal")
        keep_closed(forge.tracker, f"{MARK}\nwell")
        assert text_of(forge, forged) == f"{MARK}\nforged"
        assert [is_open(one) for one in forge.issues] == [True, False]


def test_a_pull_request_of_github_is_no_issue() -> None:
    with serving(Forge(GITHUB)) as forge:
        request = forge.add_issue(f"{MARK}\ntext", pull_request={"url": "https://api.github.com/"})
        keep_open(forge.tracker, "Drift", f"{MARK}\nreal")
        assert request["body"] == f"{MARK}\ntext"
        assert len(forge.issues) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_token(kind: str) -> None:
    with serving(Forge(kind)) as forge:
        with pytest.raises(CommandError) as refused:
            keep_open(replace(forge.tracker, token="another-token"), "Drift", MARK)
        assert "HTTP 401" in refused.value.message
        assert "another-token" not in f"{refused.value.message}{refused.value.remedy}"
        assert forge.issues == []
        assert TOKEN not in repr(forge.tracker)


@pytest.mark.parametrize(
    ("environment", "issues"),
    [
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "owner/app", "GITHUB_TOKEN": "t"},
            "https://api.github.com/repos/owner/app/issues",
        ),
        (
            {
                "GITHUB_ACTIONS": "true",
                "GITEA_ACTIONS": "true",
                "GITHUB_REPOSITORY": "owner/app",
                "GITHUB_SERVER_URL": "https://git.example/",
                "GITEA_TOKEN": "t",
            },
            "https://git.example/api/v1/repos/owner/app/issues",
        ),
        (
            {
                "GITLAB_CI": "true",
                "CI_API_V4_URL": "https://gitlab.example/api/v4",
                "CI_PROJECT_ID": "7",
                "GITLAB_TOKEN": "t",
            },
            "https://gitlab.example/api/v4/projects/7/issues",
        ),
    ],
)
def test_the_project_of_a_schedule(environment: dict[str, str], issues: str) -> None:
    """A run by a schedule has no pull request."""
    assert tracker(environment).issues == issues


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "this is none"),
        ({"GITHUB_ACTIONS": "true"}, "GITHUB_TOKEN and GH_TOKEN are not set"),
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_API_URL": "http://api.example", "GH_TOKEN": "t"},
            "not encrypted",
        ),
    ],
)
def test_refusals(environment: dict[str, str], message: str) -> None:
    with pytest.raises(CommandError, match=message) as refused:
        tracker(environment)
    assert refused.value.status == 2
    assert refused.value.message.startswith("--issue")


def test_the_page_of_a_run() -> None:
    github = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/a", "GITHUB_RUN_ID": "9"}
    assert run_page(github) == "https://github.com/o/a/actions/runs/9"
    assert run_page({"CI_JOB_URL": "https://gitlab.example/o/a/-/jobs/1"}).endswith("/jobs/1")
    assert run_page({"GITHUB_REPOSITORY": "o/a"}) == ""
