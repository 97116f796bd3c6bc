"""Which pull request a comment is for, and which project an issue: from CI's environment, or a page's address."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from cli.errors import CommandError

GITHUB, GITLAB, GITEA = "github", "gitlab", "gitea"
"""The forges. Forgejo has Gitea's API."""

TOKENS = {
    GITHUB: ("GITHUB_TOKEN", "GH_TOKEN"),
    GITLAB: ("GITLAB_TOKEN",),
    GITEA: ("GITEA_TOKEN", "FORGEJO_TOKEN", "GITHUB_TOKEN"),
}
"""The variables that may have the token of each forge, the first of them first. GitLab's CI_JOB_TOKEN cannot write
comments; the runners of Gitea and Forgejo set GITHUB_TOKEN, too."""

_PAGES = (
    (GITLAB, re.compile(r"/(?P<project>.+?)/-/merge_requests/(?P<number>[0-9]+)")),
    (GITHUB, re.compile(r"/(?P<project>[^/]+/[^/]+)/pull/(?P<number>[0-9]+)")),
    (GITEA, re.compile(r"(?P<prefix>/.+)?/(?P<project>[^/]+/[^/]+)/pulls/(?P<number>[0-9]+)")),
)
"""The paths of pull requests' pages."""


@dataclass(frozen=True)
class PullRequest:
    """One pull request, and how its forge's API is reached."""

    kind: str
    """`github`, `gitlab` or `gitea`."""
    api: str
    """The API's URL, without a slash at its end."""
    project: str
    """`owner/name`; on GitLab the path or the number of the project."""
    number: int
    token: str = field(repr=False)

    @property
    def token_variables(self) -> tuple[str, ...]:
        """The variables that may have the token."""
        return TOKENS[self.kind]

    @property
    def comments(self) -> str:
        """The URL of the pull request's comments."""
        if self.kind == GITLAB:
            return f"{self.api}/projects/{quote(self.project, safe='')}/merge_requests/{self.number}/notes"
        return f"{self.issue}/comments"

    @property
    def issue(self) -> str:
        """The URL of the pull request as an issue, which it also is on GitHub and Gitea."""
        return f"{self.api}/repos/{quote(self.project)}/issues/{self.number}"

    def comment(self, number: int) -> str:
        """The URL of one comment."""
        if self.kind == GITLAB:
            return f"{self.comments}/{number}"
        return f"{self.api}/repos/{quote(self.project)}/issues/comments/{number}"


@dataclass(frozen=True)
class Tracker:
    """The issues of a project, and how its forge's API is reached."""

    kind: str
    """`github`, `gitlab` or `gitea`."""
    api: str
    """The API's URL, without a slash at its end."""
    project: str
    """`owner/name`; on GitLab the number of the project."""
    token: str = field(repr=False)

    @property
    def issues(self) -> str:
        """The URL of the issues."""
        if self.kind == GITLAB:
            return f"{self.api}/projects/{quote(self.project, safe='')}/issues"
        return f"{self.api}/repos/{quote(self.project)}/issues"


def tracker(environment: Mapping[str, str]) -> Tracker:
    """The issues of the project whose CI this is.

    Raises:
        CommandError: this is no CI, or there is no token.

    """
    if environment.get("GITLAB_CI"):
        kind, api = GITLAB, environment.get("CI_API_V4_URL", "")
        project = environment.get("CI_PROJECT_ID", "")
    elif environment.get("GITHUB_ACTIONS"):
        kind, api = _github_like(environment)
        project = environment.get("GITHUB_REPOSITORY", "")
    else:
        raise CommandError(
            "--issue finds the project in the environment of CI, and this is none",
            "Leave it out: the exit status is 1 if the stack is not as its last update left it.",
            status=2,
        )
    return Tracker(kind, api.rstrip("/"), project, _token(environment, kind, api, "--issue", "issues"))


def run_page(environment: Mapping[str, str]) -> str:
    """The page of this run of CI; empty if CI does not say it."""
    if page := environment.get("CI_JOB_URL"):
        return page
    parts = [environment.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return f"{parts[0].rstrip('/')}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else ""


def pull_request(environment: Mapping[str, str], page: str = "") -> PullRequest:
    """The pull request to comment on.

    Args:
        environment: the environment: what CI sets, and the token.
        page: the address of the pull request's page; empty to go by the environment.

    Raises:
        CommandError: there is no pull request, or no token.

    """
    kind, api, project, number = _of_page(page) if page else _of_ci(environment)
    token = _token(environment, kind, api, "--post", "comments")
    return PullRequest(kind, api.rstrip("/"), project, number, token)


def _token(environment: Mapping[str, str], kind: str, api: str, option: str, what: str) -> str:
    """The token for an API, which is sent encrypted only."""
    if not api.startswith("https://") and urlsplit(api).hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise CommandError(
            f"{option} would send the token to {api}, which is not encrypted",
            "Use the forge's https address.",
            status=2,
        )
    token = next((environment[name] for name in TOKENS[kind] if environment.get(name)), "")
    if not token:
        raise CommandError(
            f"{option} needs a token of {kind.capitalize()}, and {' and '.join(TOKENS[kind])} are not set",
            f"Set one of them to a token that may write {what}.",
            status=2,
        )
    return token


def _github_like(environment: Mapping[str, str]) -> tuple[str, str]:
    """The kind of a forge whose CI sets GitHub's variables, and its API."""
    # The runners of Gitea and Forgejo set them for the actions that expect them.
    is_gitea = any(environment.get(name) for name in ("GITEA_ACTIONS", "FORGEJO_ACTIONS"))
    server = environment.get("GITHUB_SERVER_URL", "").rstrip("/")
    default = f"{server}/api/v1" if is_gitea else "https://api.github.com"
    return GITEA if is_gitea else GITHUB, environment.get("GITHUB_API_URL") or default


def _of_page(page: str) -> tuple[str, str, str, int]:
    parts = urlsplit(page)
    origin = f"{parts.scheme}://{parts.netloc}"
    for kind, pattern in _PAGES if parts.scheme in {"https", "http"} and "@" not in parts.netloc else ():
        if found := pattern.fullmatch(parts.path.rstrip("/")):
            apis = {
                GITHUB: "https://api.github.com" if parts.netloc == "github.com" else f"{origin}/api/v3",
                GITLAB: f"{origin}/api/v4",
                GITEA: f"{origin}{found.groupdict().get('prefix') or ''}/api/v1",
            }
            return kind, apis[kind], found["project"], int(found["number"])
    raise CommandError(
        f"--pull-request {page}: not the address of a pull request",
        "For example: --pull-request https://github.com/OWNER/NAME/pull/12",
        status=2,
    )


def _of_ci(environment: Mapping[str, str]) -> tuple[str, str, str, int]:
    if environment.get("GITLAB_CI"):
        number = environment.get("CI_MERGE_REQUEST_IID", "")
        if number.isdecimal():
            return (
                GITLAB,
                environment.get("CI_API_V4_URL", ""),
                environment.get("CI_PROJECT_ID", ""),
                int(number),
            )
    elif environment.get("GITHUB_ACTIONS"):
        found = _number_of_event(environment)
        if found:
            return (*_github_like(environment), environment.get("GITHUB_REPOSITORY", ""), found)
    else:
        raise CommandError(
            "--post finds the pull request in the environment of CI, and this is none",
            "Name it: --pull-request https://github.com/OWNER/NAME/pull/12",
            status=2,
        )
    raise CommandError(
        "--post: this run of CI is not about a pull request",
        "Run it for pull requests only, or name one with --pull-request.",
        status=2,
    )


def _number_of_event(environment: Mapping[str, str]) -> int:
    """The pull request's number, from the event's file or the ref `refs/pull/12/merge`; 0 without one."""
    try:
        event = json.loads(
            Path(environment.get("GITHUB_EVENT_PATH") or "/dev/null").read_text(encoding="utf-8")
        )
    except (OSError, ValueError):
        event = {}
    request = event.get("pull_request") if isinstance(event, dict) else None
    number = request.get("number") if isinstance(request, dict) else None
    if isinstance(number, int):
        return number
    found = re.fullmatch(r"refs/pull/([0-9]+)/\w+", environment.get("GITHUB_REF", ""))
    return int(found[1]) if found else 0
