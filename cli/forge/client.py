"""Writes the one comment on a pull request, or updates it.

Requests of each forge's documented API:

- GitHub: https://docs.github.com/en/rest/issues/comments
- GitLab: https://docs.gitlab.com/api/notes/#merge-requests
- Gitea and Forgejo: https://docs.gitea.com/api/ (`issueGetIssue`, `issueGetComments`,
  `issueCreateComment`, `issueEditComment`)
"""

from cli.forge.address import GITEA, GITLAB, PullRequest
from cli.forge.session import ForgeSession, first_line, is_by


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
    with ForgeSession(at) as session:
        mark = text.partition("\n")[0]
        mine = session.authors()
        if at.kind == GITEA:
            # Its list of the comments of a missing pull request is an internal error.
            session.ask("GET", at.issue)
        # The oldest first.
        order = {"sort": "asc", "order_by": "created_at"} if at.kind == GITLAB else {}
        comments = session.entries(at.comments, **order)
        found = [one for one in comments if is_by(one, mine) and first_line(one.get("body")) == mark]
        content = {"body": text}
        if found:
            method = "PUT" if at.kind == GITLAB else "PATCH"
            answer = session.ask(method, at.comment(int(found[-1]["id"])), content)
        else:
            answer = session.ask("POST", at.comments, content)
    written = answer.json()
    return str(written.get("html_url") or f"{at.kind} comment {written.get('id')}")
