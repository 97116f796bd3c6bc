"""Which pull request a comment is for."""

import json
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.forge.address import pull_request

TOKENS = dict.fromkeys(("GITHUB_TOKEN", "GITLAB_TOKEN", "GITEA_TOKEN"), "t")


@pytest.mark.parametrize(
    ("page", "comments"),
    [
        (
            "https://github.com/owner/app/pull/12",
            "https://api.github.com/repos/owner/app/issues/12/comments",
        ),
        (
            "https://github.example/owner/app/pull/12/",
            "https://github.example/api/v3/repos/owner/app/issues/12/comments",
        ),
        (
            "https://gitlab.example/group/sub/app/-/merge_requests/12",
            "https://gitlab.example/api/v4/projects/group%2Fsub%2Fapp/merge_requests/12/notes",
        ),
        (
            "https://codeberg.org/owner/app/pulls/12",
            "https://codeberg.org/api/v1/repos/owner/app/issues/12/comments",
        ),
        (
            "https://example.com/git/owner/app/pulls/12",
            "https://example.com/git/api/v1/repos/owner/app/issues/12/comments",
        ),
    ],
)
def test_a_page(page: str, comments: str) -> None:
    assert pull_request(TOKENS, page).comments == comments


GITHUB_CI = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_REPOSITORY": "owner/app",
    "GITHUB_REF": "refs/pull/12/merge",
}


@pytest.mark.parametrize(
    ("environment", "kind", "comments"),
    [
        (GITHUB_CI, "github", "https://api.github.com/repos/owner/app/issues/12/comments"),
        (
            {
                **GITHUB_CI,
                "GITEA_ACTIONS": "true",
                "GITHUB_SERVER_URL": "https://git.example/",
                "GITHUB_API_URL": "https://git.example/api/v1",
                "GITHUB_REF": "refs/pull/12/head",
            },
            "gitea",
            "https://git.example/api/v1/repos/owner/app/issues/12/comments",
        ),
        (
            {
                "GITLAB_CI": "true",
                "CI_API_V4_URL": "https://gitlab.example/api/v4",
                "CI_PROJECT_ID": "7",
                "CI_MERGE_REQUEST_IID": "12",
            },
            "gitlab",
            "https://gitlab.example/api/v4/projects/7/merge_requests/12/notes",
        ),
    ],
)
def test_the_environment_of_ci(environment: dict[str, str], kind: str, comments: str) -> None:
    found = pull_request({**TOKENS, **environment})
    assert (found.kind, found.comments) == (kind, comments)


def test_the_number_of_an_event(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 34}}))
    environment = {**TOKENS, **GITHUB_CI, "GITHUB_EVENT_PATH": str(event)}
    assert pull_request(environment).number == 34
    event.write_text("no JSON")
    assert pull_request(environment).number == 12


@pytest.mark.parametrize(
    ("environment", "page", "message"),
    [
        ({}, "", "this is none"),
        ({**GITHUB_CI, "GITHUB_REF": "refs/heads/main"}, "", "not about a pull request"),
        ({"GITLAB_CI": "true"}, "", "not about a pull request"),
        (GITHUB_CI, "", "GITHUB_TOKEN and GH_TOKEN are not set"),
        (TOKENS, "https://github.com/owner/app/issues/12", "not the address of a pull request"),
        (TOKENS, "https://user:word@github.com/owner/app/pull/12", "not the address of a pull request"),
        (TOKENS, "ftp://github.com/owner/app/pull/12", "not the address of a pull request"),
        (TOKENS, "http://github.example/owner/app/pull/12", "not encrypted"),
        ({**TOKENS, **GITHUB_CI, "GITHUB_API_URL": "http://api.example"}, "", "not encrypted"),
    ],
)
def test_refusals(environment: dict[str, str], page: str, message: str) -> None:
    with pytest.raises(CommandError) as refused:
        pull_request(environment, page)
    assert message in refused.value.message
    assert refused.value.status == 2
    assert refused.value.remedy
