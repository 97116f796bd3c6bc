"""Small servers that answer as the documented APIs of GitHub, GitLab, Gitea and Forgejo do for comments and issues.

The shapes are those of docs.github.com/en/rest/issues, docs.gitlab.com/api/notes and /api/issues, and those of a real
Gitea 1.26 (`tests/e2e/test_gitea.py`). It gives all comments at once, and an internal error for those of a missing pull
request.
"""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cli.forge.address import GITEA, GITHUB, GITLAB, PullRequest, Tracker

TOKEN = "the-token-of-the-forge"
ME = "release-robot"
_AUTHORIZATION = {
    GITHUB: ("Authorization", f"Bearer {TOKEN}"),
    GITLAB: ("PRIVATE-TOKEN", TOKEN),
    GITEA: ("Authorization", f"token {TOKEN}"),
}


@dataclass
class Forge:
    """A forge with one pull request, number 12."""

    kind: str
    comments: list[dict[str, Any]] = field(default_factory=list)
    user: str = ME
    """Whose token it is; on GitHub, a name of the forge's CI may not ask who it is."""
    scopes: frozenset[str] = frozenset({"read:user", "write:issue"})
    """Of the token, on Gitea."""
    page: int = 30
    """Comments of a page, at most."""
    issues: list[dict[str, Any]] = field(default_factory=list)
    """The newest last."""
    requests: list[str] = field(default_factory=list)
    """Methods and paths."""
    address: str = ""
    elsewhere: str = ""
    """Another server's address, to which the first page's link leads."""

    @property
    def at(self) -> PullRequest:
        """The pull request."""
        prefix = {GITHUB: "", GITLAB: "/api/v4", GITEA: "/api/v1"}[self.kind]
        project = "group/sub/app" if self.kind == GITLAB else "owner/app"
        return PullRequest(self.kind, f"{self.address}{prefix}", project, 12, TOKEN)

    @property
    def tracker(self) -> Tracker:
        """The project's issues."""
        project = "7" if self.kind == GITLAB else "owner/app"
        return Tracker(self.kind, self.at.api, project, TOKEN)

    @property
    def issues_path(self) -> str:
        """The path of the issues."""
        return self.tracker.issues.removeprefix(self.address)

    def add_issue(self, text: str, user: str = "", *, state: str = "", **more: Any) -> dict[str, Any]:
        """An issue that is there."""
        is_gitlab, number = self.kind == GITLAB, len(self.issues) + 1
        issue = {
            "id": 500 + number,
            "iid" if is_gitlab else "number": number,
            "description" if is_gitlab else "body": text,
            "state": state or ("opened" if is_gitlab else "open"),
            "author" if is_gitlab else "user": {"username" if is_gitlab else "login": user or self.user},
            "web_url" if is_gitlab else "html_url": f"{self.address}/owner/app/issues/{number}",
            **more,
        }
        self.issues.append(issue)
        return issue

    def _answer_issue(self, method: str, path: str, query: str, sent: Any) -> tuple[int, Any, dict[str, str]]:
        is_gitlab = self.kind == GITLAB
        text = "description" if is_gitlab else "body"
        if path == self.issues_path and method == "GET":
            return self._page([*reversed(self.issues)], path, query)
        if path == self.issues_path and method == "POST":
            return 201, self.add_issue(sent[text], title=sent["title"]), {}
        for issue in self.issues:
            if path == f"{self.issues_path}/{issue['iid' if is_gitlab else 'number']}" and method == (
                "PUT" if is_gitlab else "PATCH"
            ):
                issue[text] = sent[text]
                if is_gitlab and "state_event" in sent:
                    issue["state"] = {"close": "closed", "reopen": "opened"}[sent["state_event"]]
                elif not is_gitlab and "state" in sent:
                    assert sent["state"] in {"open", "closed"}
                    issue["state"] = sent["state"]
                return 200, issue, {}
        return 404, {"message": "Not Found"}, {}

    @property
    def list_path(self) -> str:
        """The path of the comments."""
        return {
            GITHUB: "/repos/owner/app/issues/12/comments",
            GITLAB: "/api/v4/projects/group%2Fsub%2Fapp/merge_requests/12/notes",
            GITEA: "/api/v1/repos/owner/app/issues/12/comments",
        }[self.kind]

    def path_of(self, number: int) -> str:
        """The path of one comment."""
        if self.kind == GITLAB:
            return f"{self.list_path}/{number}"
        return self.list_path.replace("/12/comments", f"/comments/{number}")

    def add(self, body: str, user: str = "") -> dict[str, Any]:
        """A comment that is there."""
        author = {"username" if self.kind == GITLAB else "login": user or self.user}
        comment = {"id": 100 + len(self.comments), "body": body}
        comment["author" if self.kind == GITLAB else "user"] = author
        if self.kind != GITLAB:
            comment["html_url"] = f"{self.address}/owner/app/pull/12#issuecomment-{comment['id']}"
        self.comments.append(comment)
        return comment

    def answer(self, method: str, path: str, sent: Any) -> tuple[int, Any, dict[str, str]]:
        """Status, content and headers."""
        parts = urlsplit(path)
        prefix = self.at.api.removeprefix(self.address)
        if (method, parts.path) == ("GET", f"{prefix}/user"):
            if self.user.endswith("[bot]"):
                return 403, {"message": "Resource not accessible by integration"}, {}
            if self.kind == GITEA and "read:user" not in self.scopes:
                return self._lacks("read:user")
            return 200, {"username" if self.kind == GITLAB else "login": self.user}, {}
        if self.kind == GITEA and method != "GET" and "write:issue" not in self.scopes:
            return self._lacks("write:issue")
        if (self.kind, method) == (GITEA, "GET"):
            if parts.path == self.list_path.removesuffix("/comments"):
                return 200, {"number": 12, "pull_request": {}}, {}
            if parts.path.endswith("/comments") and parts.path != self.list_path:
                return 500, {"message": "", "url": f"{self.address}/api/swagger"}, {}
        if method in {"POST", "PATCH", "PUT"} and len(sent.get("body", "")) > 65_536 and self.kind == GITHUB:
            return 422, {"message": "Validation Failed"}, {}
        if parts.path == self.list_path and method == "GET":
            return self._list(parts.query)
        if parts.path == self.list_path and method == "POST":
            return 201, self.add(sent["body"]), {}
        for comment in self.comments:
            if parts.path == self.path_of(comment["id"]) and method == (
                "PUT" if self.kind == GITLAB else "PATCH"
            ):
                comment["body"] = sent["body"]
                return 200, comment, {}
        return self._answer_issue(method, parts.path, parts.query, sent)

    def _lacks(self, scope: str) -> tuple[int, Any, dict[str, str]]:
        needs = f"token does not have at least one of required scope(s), required=[{scope}]"
        return 403, {"message": f"{needs}, token scope={','.join(sorted(self.scopes))}"}, {}

    def _list(self, query: str) -> tuple[int, Any, dict[str, str]]:
        if self.kind == GITEA:
            return 200, self.comments, {"X-Total-Count": str(len(self.comments))}
        return self._page(self.comments, self.list_path, query)

    def _page(self, entries: list[dict[str, Any]], path: str, query: str) -> tuple[int, Any, dict[str, str]]:
        asked = parse_qs(query)
        size, number = (
            min(self.page, int(asked.get("limit" if self.kind == GITEA else "per_page", ["20"])[0])),
            int(asked.get("page", ["1"])[0]),
        )
        page = entries[(number - 1) * size : number * size]
        more = number * size < len(entries)
        following = f"{self.elsewhere or self.address}{path}?per_page={size}&page={number + 1}"
        return 200, page, {"Link": f'<{following}>; rel="next"'} if more else {}


@contextmanager
def serving(forge: Forge) -> Iterator[Forge]:
    """The forge on a port of this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else None
            forge.requests.append(f"{self.command} {self.path}")
            name, value = _AUTHORIZATION[forge.kind]
            status, content, headers = (
                forge.answer(self.command, self.path, sent)
                if self.headers.get(name) == value
                else (401, {"message": "Bad credentials"}, {})
            )
            body = json.dumps(content).encode()
            self.send_response(status)
            for key, text in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, text)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PATCH(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
