"""Requests of a forge's API with its token: authors, pages of a list, answers.

By `requests`: the forges' own clients for Python (PyGithub with its cryptography, python-gitlab, py-gitea) are three
more libraries, tens of megabytes, for a list, a POST and a PATCH.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from cli.errors import CommandError
from cli.forge.address import GITEA, GITHUB, GITLAB, PullRequest, Tracker

PATIENCE = 30
"""Seconds that an answer may take."""
PAGE = 100
"""Entries of a page. Gitea may give fewer (`MAX_RESPONSE_ITEMS`, 50)."""
PAGES = 200
"""Pages that are looked through, for a forge whose last page never comes."""
ACTIONS = frozenset({"github-actions[bot]", "gitea-actions", "forgejo-actions"})
"""The names under which the tokens of the forges' own CI write. Such a token may not ask for its user."""
_REMEDIES = {
    HTTPStatus.UNAUTHORIZED: "The token is not valid any more.",
    HTTPStatus.NOT_FOUND: "There is no such page, or the token may not see it.",
    HTTPStatus.GONE: "The project has no issues: turn them on in its settings.",
    HTTPStatus.LOCKED: "The project is archived: nobody can write there.",
    **dict.fromkeys(
        (
            HTTPStatus.MOVED_PERMANENTLY,
            HTTPStatus.FOUND,
            HTTPStatus.TEMPORARY_REDIRECT,
            HTTPStatus.PERMANENT_REDIRECT,
        ),
        "It has moved: use its new address.",
    ),
}
_NEEDED = {
    GITHUB: "comments need `pull-requests: write`, and issues need `issues: write`.",
    GITLAB: "it needs the scope `api`.",
    GITEA: "it needs the scopes `write:issue` and `read:user`, and its user needs access to the project.",
}
"""What a token of each forge needs to write comments and issues."""
_WITHOUT_SCOPE = "required scope"
"""What Gitea and Forgejo say of a token that lacks a scope."""


class ForgeSession:
    """A session with one forge's API."""

    def __init__(self, at: PullRequest | Tracker) -> None:
        """For what is at a forge."""
        self._at = at
        self._session = requests.Session()
        self._session.headers.update(_headers(at))

    def __enter__(self) -> "ForgeSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def authors(self) -> frozenset[str]:
        """The name of the token's user. A token of CI may not ask: then the names of the forges' CI.

        Raises:
            CommandError: the token lacks a scope: what it wrote before would not be found, and be written again.

        """
        answer = self._send("GET", f"{self._at.api}/user")
        if answer.status_code == HTTPStatus.OK:
            return frozenset({_name(answer.json())} - {""}) or ACTIONS
        if answer.status_code == HTTPStatus.FORBIDDEN and _WITHOUT_SCOPE in answer.text:
            raise self._refused(answer)
        return ACTIONS

    def entries(self, url: str, **options: str) -> Iterator[dict[str, Any]]:
        """All entries of a list, page after page."""
        query = {"limit" if self._at.kind == GITEA else "per_page": str(PAGE), **options}
        following = f"{url}?{'&'.join(f'{name}={value}' for name, value in query.items())}"
        seen: set[int] = set()
        for _ in range(PAGES):
            answer = self.ask("GET", following)
            page = answer.json()
            if not isinstance(page, list):
                raise CommandError(
                    f"{self._at.api} is not the API of {self._at.kind}: its answer is not a list", status=1
                )
            fresh = [one for one in page if isinstance(one, dict) and one.get("id") not in seen]
            seen |= {one["id"] for one in fresh}
            yield from fresh
            link = (answer.links.get("next") or {}).get("url")
            if not link or not fresh:
                return
            # The token goes to the same server only.
            following = urljoin(following, link)
            if urlsplit(following).netloc != urlsplit(self._at.api).netloc:
                return

    def ask(self, method: str, url: str, content: Mapping[str, str] | None = None) -> requests.Response:
        """The forge's answer to a request.

        Raises:
            CommandError: the forge does not answer, or refuses.

        """
        answer = self._send(method, url, content)
        if answer.status_code in {HTTPStatus.OK, HTTPStatus.CREATED}:
            return answer
        raise self._refused(answer)

    def _refused(self, answer: requests.Response) -> CommandError:
        """The error for an answer that is none of the good ones."""
        kind = self._at.kind
        remedies = {**_REMEDIES, HTTPStatus.FORBIDDEN: f"The token may not write here: {_NEEDED[kind]}"}
        if isinstance(self._at, Tracker):
            remedies[HTTPStatus.NOT_FOUND] = (
                "There is no such project, its issues are turned off, or the token may not see them."
            )
        return CommandError(
            f"{kind.capitalize()} answers HTTP {answer.status_code} to {answer.request.method} "
            f"{urlsplit(answer.url).path}",
            next((text for status, text in remedies.items() if status == answer.status_code), ""),
            status=1,
        )

    def _send(self, method: str, url: str, content: Mapping[str, str] | None = None) -> requests.Response:
        try:
            # No redirect: it would take the token along, and a POST would become a GET.
            return self._session.request(
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
                "The preview itself is done; run it again to write to the forge.",
                status=1,
            ) from None


def is_by(entry: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Whether one of these users wrote a comment or an issue."""
    return _name(entry.get("author") or entry.get("user") or {}) in names


def first_line(text: object) -> str:
    """The first line of a text, in which the invisible mark is."""
    return str(text or "").partition("\n")[0].strip()


def _name(user: Mapping[str, Any]) -> str:
    return str(user.get("login") or user.get("username") or "")


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _headers(at: PullRequest | Tracker) -> dict[str, str]:
    if at.kind == GITLAB:
        return {"PRIVATE-TOKEN": at.token}
    if at.kind == GITHUB:
        return {
            "Authorization": f"Bearer {at.token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
    return {"Authorization": f"token {at.token}", "Accept": "application/json"}
