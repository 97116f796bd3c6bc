"""Writes the one comment on a pull request, or updates it.

Three requests of each forge's documented API, by `requests`: the forges' own clients for Python (PyGithub with its
cryptography, python-gitlab, py-gitea) are three more libraries, tens of megabytes, for a list, a POST and a PATCH.

- GitHub: https://docs.github.com/en/rest/issues/comments
- GitLab: https://docs.gitlab.com/api/notes/#merge-requests
- Gitea and Forgejo: https://docs.gitea.com/api/ (`issueGetComments`, `issueCreateComment`, `issueEditComment`)
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from cli.errors import CommandError
from cli.forge.address import GITHUB, GITLAB, PullRequest

PATIENCE = 30
"""Seconds that an answer may take."""
PAGE = 100
"""Comments of a page. Gitea may give fewer (`MAX_RESPONSE_ITEMS`, 50)."""
PAGES = 200
"""Pages that are looked through, for a forge whose last page never comes."""
ACTIONS = frozenset({"github-actions[bot]", "gitea-actions", "forgejo-actions"})
"""The names under which the tokens of the forges' own CI write. Such a token may not ask for its user."""


def post(at: PullRequest, text: str) -> str:
    """Write the comment, or update the one whose first line is the same. Returns its address for people.

    Only a comment that the token's own user wrote is updated: another's with the same first line stays another's, and
    could be changed by him afterwards.

    Args:
        at: the pull request.
        text: the comment. Its first line is the invisible mark.

    Raises:
        CommandError: the forge does not answer, or refuses.

    """
    with requests.Session() as session:
        session.headers.update(_headers(at))
        mark = text.partition("\n")[0]
        mine = _authors(session, at)
        found = [one for one in _comments(session, at) if _is_mine(one, mine) and _mark(one) == mark]
        if found:
            method = "PUT" if at.kind == GITLAB else "PATCH"
            answer = _ask(session, at, method, at.comment(int(found[-1]["id"])), text)
        else:
            answer = _ask(session, at, "POST", at.comments, text)
    written = answer.json()
    return str(written.get("html_url") or f"{at.kind} comment {written.get('id')}")


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _headers(at: PullRequest) -> dict[str, str]:
    if at.kind == GITLAB:
        return {"PRIVATE-TOKEN": at.token}
    if at.kind == GITHUB:
        return {
            "Authorization": f"Bearer {at.token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
    return {"Authorization": f"token {at.token}", "Accept": "application/json"}


def _authors(session: requests.Session, at: PullRequest) -> frozenset[str]:
    """The name of the token's user. A token of CI may not ask: then the names of the forges' CI."""
    answer = _send(session, "GET", f"{at.api}/user")
    if answer.status_code == HTTPStatus.OK:
        return frozenset({_name(answer.json())} - {""}) or ACTIONS
    return ACTIONS


def _is_mine(comment: dict[str, Any], mine: frozenset[str]) -> bool:
    return _name(comment.get("author") or comment.get("user") or {}) in mine


def _name(user: dict[str, Any]) -> str:
    return str(user.get("login") or user.get("username") or "")


def _mark(comment: dict[str, Any]) -> str:
    return str(comment.get("body") or "").partition("\n")[0].strip()


def _comments(session: requests.Session, at: PullRequest) -> Iterator[dict[str, Any]]:
    """All comments, the oldest first."""
    size = "limit" if at.kind == "gitea" else "per_page"
    order = "&sort=asc&order_by=created_at" if at.kind == GITLAB else ""
    following = f"{at.comments}?{size}={PAGE}{order}"
    seen: set[int] = set()
    for _ in range(PAGES):
        answer = _ask(session, at, "GET", following)
        page = answer.json()
        if not isinstance(page, list):
            raise CommandError(f"{at.api} is not the API of {at.kind}: its answer is not a list", status=1)
        fresh = [one for one in page if isinstance(one, dict) and one.get("id") not in seen]
        seen |= {one["id"] for one in fresh}
        yield from fresh
        link = (answer.links.get("next") or {}).get("url")
        if not link or not fresh:
            return
        # The token goes to the same server only.
        following = urljoin(following, link)
        if urlsplit(following).netloc != urlsplit(at.api).netloc:
            return


def _ask(
    session: requests.Session, at: PullRequest, method: str, url: str, text: str = ""
) -> requests.Response:
    answer = _send(session, method, url, {"body": text} if text else None)
    if answer.status_code in {HTTPStatus.OK, HTTPStatus.CREATED}:
        return answer
    remedy = {
        HTTPStatus.UNAUTHORIZED: "The token is not valid any more.",
        HTTPStatus.FORBIDDEN: "The token may not write comments here: on GitHub it needs `pull-requests: write`.",
        HTTPStatus.NOT_FOUND: "There is no such pull request, or the token may not see it.",
    }.get(HTTPStatus(answer.status_code) if answer.status_code in set(HTTPStatus) else HTTPStatus.OK, "")
    raise CommandError(
        f"{at.kind.capitalize()} answers HTTP {answer.status_code} to {method} {urlsplit(url).path}",
        remedy,
        status=1,
    )


def _send(
    session: requests.Session, method: str, url: str, content: dict[str, str] | None = None
) -> requests.Response:
    try:
        # No redirect: it would take the token along, and a POST would become a GET.
        return session.request(
            method,
            url,
            json=content,
            timeout=PATIENCE,
            allow_redirects=False,
            auth=_unchanged,  # or requests would take a login of ~/.netrc in place of the token
        )
    except requests.RequestException as error:
        raise CommandError(
            f"{urlsplit(url).netloc} does not answer: {type(error).__name__}",
            "The preview itself is done; run it again to post the comment.",
            status=1,
        ) from None
