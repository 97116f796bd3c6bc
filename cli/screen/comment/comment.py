"""The comment on a pull request: who notices, what happens to whom, and each resource that changes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from batches import Batches
from cli.screen.comment.groups import described_group, grouped
from cli.screen.comment.images import NewImage, described_images
from cli.screen.comment.markdown import code, prose
from cli.screen.comment.prices import described_prices
from cli.screen.plan.changes import Notice, Sentence, changes
from cli.screen.plan.sentences import about_gone, sentences, totals
from cli.screen.record import Record

LIMITS = {"github": 65_536, "gitlab": 1_000_000, "gitea": 1_000_000}
"""The length of a comment that each forge takes. GitHub's API refuses more ("body is too long"); GitLab has it in
`Note::MAX_LENGTH` as 1,000,000; Gitea and Forgejo have no limit of their own (their column is a LONGTEXT), and get no
more than GitLab. All count characters, and here bytes are counted, which are never fewer."""

_HEADLINES = {
    Notice.LOSS: "Data is lost",
    Notice.HOST: "A host is replaced or removed",
    Notice.FAILURES: "Requests may fail",
    Notice.RESTART: "A restart of about {}",
}
_MOST_COMMITS = 50


@dataclass(frozen=True)
class Preview:
    """What a comment is made from."""

    project: str
    stack: str
    command: str
    """The command that does it: `./slip up -s dev`."""
    record: Record
    images: Sequence[NewImage] = ()
    region: str = ""
    """The region, on AWS."""
    differences: Sequence[str] = ()
    """What differs on hosts and in the registry from what the last update made there."""
    plan: str = ""
    """The plan's hash, if it was saved."""
    batches: Mapping[str, Batches] = field(default_factory=dict)
    """In which batches hosts get a version, by service."""
    refusals: Sequence[str] = ()
    """Mandatory rules of the policy that it breaks."""
    advice: Sequence[str] = ()
    """Other rules that it breaks."""


def marker(project: str, stack: str) -> str:
    """The invisible first line, by which the comment is found again."""
    return f"<!-- slipway preview {project}/{stack} -->".replace("--->", "->")


def failed(project: str, stack: str) -> str:
    """The comment of a preview that failed. The reason may quote anything, so it stays in the job's log."""
    return f"{marker(project, stack)}\n## Preview of {code(stack)}\n\n**The preview failed.** The job's log says why.\n"


def comment(preview: Preview, limit: int = LIMITS["github"]) -> str:
    """The comment, as detailed as the limit allows.

    The detail goes first: values of properties, then their names, then the names of resources. Who notices, and the
    totals, always stay.
    """
    record = preview.record
    told = [*about_gone(record.gone), *sentences(record.steps, preview.batches)]
    price = described_prices(record.steps, preview.region)
    shortest = ""
    for detail in range(5):
        shortest = re.sub(r"\n{3,}", "\n\n", "\n".join(_lines(preview, told, price, detail)).strip() + "\n")
        if len(shortest.encode()) <= limit:
            return shortest
    end = "\n\n… The rest is too long for a comment; `./slip preview` shows it.\n"
    room = limit - len(end.encode())
    whole = shortest.encode()[:room].decode(errors="ignore")
    return whole.rpartition("\n")[0] + end


def _lines(preview: Preview, told: Sequence[Sentence], price: Sequence[str], detail: int) -> Iterator[str]:
    record = preview.record
    yield marker(preview.project, preview.stack)
    yield f"## Preview of {code(preview.stack)}"
    yield ""
    if preview.refusals:
        yield "**The policy refuses this:**"
        yield ""
        yield from (f"- {prose(one)}" for one in preview.refusals)
        yield ""
    yield from _who_notices(told)
    yield ""
    yield prose(totals(record.counts))
    if quiet := [one for one in told if not one.notice]:
        yield ""
        yield from (f"- {prose(one.about)}: {prose(one.text)}" for one in quiet)
    if preview.differences:
        yield ""
        yield "What differs already from what the last update made:"
        yield ""
        yield from (f"- {prose(one)}" for one in preview.differences)
    if preview.images:
        yield ""
        yield "### Images"
        yield ""
        yield from described_images(preview.images, most=(_MOST_COMMITS, 20, 5, 0, 0)[detail])
    if detail < 4 and (every := changes(record.steps)):
        yield ""
        yield "### Resources"
        yield ""
        for group, mine in grouped(every).items():
            yield from described_group(group, mine, values=detail == 0, rows=detail < 2)
    if price:
        yield ""
        yield "### Price"
        yield ""
        yield from price
    if warnings := [*(warning.text for warning in record.warnings), *preview.advice]:
        yield ""
        yield "### Warnings"
        yield ""
        yield from (f"- {prose(text)}" for text in warnings)
    if detail:
        yield ""
        yield "Some details are left out, since a comment has a limit; `./slip preview --diff` shows all."
    if preview.plan and not preview.refusals:
        yield ""
        yield f"Plan {code(preview.plan)}. This does it, and refuses if the plan is another by then:"
        yield ""
        yield f"`{preview.command} --approved {preview.plan}`"


def _who_notices(told: Sequence[Sentence]) -> Iterator[str]:
    noticed = [one for one in told if one.notice]
    if not noticed:
        yield "**Nobody notices.**"
        return
    for notice, headline in _HEADLINES.items():
        mine = [one for one in noticed if one.notice is notice]
        if not mine:
            continue
        seconds = max(one.seconds for one in mine)
        yield f"**{headline.format('a second' if seconds == 1 else f'{seconds} seconds')}:**"
        yield ""
        yield from (f"- {prose(one.about)}: {prose(one.text)}" for one in mine)
        yield ""
