"""Keeps the one issue that has a mark: opens it, updates it, closes it, and never makes a second one.

- GitHub: https://docs.github.com/en/rest/issues/issues
- GitLab: https://docs.gitlab.com/api/issues/
- Gitea and Forgejo: https://docs.gitea.com/api/ (`issueListIssues`, `issueCreateIssue`, `issueEditIssue`)
"""

from typing import Any

from cli.forge.address import GITEA, GITHUB, GITLAB, Tracker
from cli.forge.session import ForgeSession, first_line, is_by

_NEWEST_FIRST = {
    GITHUB: {"state": "all", "sort": "created", "direction": "desc"},
    GITLAB: {"state": "all", "order_by": "created_at", "sort": "desc"},
    GITEA: {"state": "all", "type": "issues"},
}


def keep_open(at: Tracker, title: str, text: str) -> str:
    """Have the issue open, with this text. Returns its address for people.

    An issue that was closed is opened again, so there is one for each mark, with all of its history.

    Args:
        at: the project.
        title: the title of a new issue.
        text: its text. The first line is the invisible mark.

    Raises:
        CommandError: the forge does not answer, or refuses.

    """
    with ForgeSession(at) as session:
        found = _find(session, at, first_line(text))
        if found is None:
            content = {"title": title, _body(at): text}
            return _page(at, session.ask("POST", at.issues, content).json())
        again = {"state_event": "reopen"} if at.kind == GITLAB else {"state": "open"}
        content = {_body(at): text, **({} if _is_open(found) else again)}
        return _page(at, session.ask(_edit(at), _url(at, found), content).json())


def keep_closed(at: Tracker, text: str) -> str:
    """Have the issue closed, if there is one. Returns its address for people; empty if it was not open.

    Args:
        at: the project.
        text: its last text. The first line is the invisible mark.

    Raises:
        CommandError: the forge does not answer, or refuses.

    """
    with ForgeSession(at) as session:
        found = _find(session, at, first_line(text))
        if found is None or not _is_open(found):
            return ""
        close = {"state_event": "close"} if at.kind == GITLAB else {"state": "closed"}
        return _page(at, session.ask(_edit(at), _url(at, found), {_body(at): text, **close}).json())


def _find(session: ForgeSession, at: Tracker, mark: str) -> dict[str, Any] | None:
    """The newest issue with the mark that the token's user wrote: another's stays another's."""
    mine = session.authors()
    for issue in session.entries(at.issues, **_NEWEST_FIRST[at.kind]):
        # GitHub lists pull requests, too.
        if issue.get("pull_request"):
            continue
        if is_by(issue, mine) and first_line(issue.get(_body(at))) == mark:
            return issue
    return None


def _is_open(issue: dict[str, Any]) -> bool:
    return issue.get("state") in {"open", "opened"}


def _body(at: Tracker) -> str:
    return "description" if at.kind == GITLAB else "body"


def _edit(at: Tracker) -> str:
    return "PUT" if at.kind == GITLAB else "PATCH"


def _url(at: Tracker, issue: dict[str, Any]) -> str:
    return f"{at.issues}/{int(issue['iid' if at.kind == GITLAB else 'number'])}"


def _page(at: Tracker, issue: dict[str, Any]) -> str:
    return str(issue.get("html_url") or issue.get("web_url") or f"{at.kind} issue {issue.get('id')}")
