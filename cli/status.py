"""`slip status`: one screen about a stack: what works, what waits for an `up`, what is old, and what mends it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cli import console
from cli.running.place import edges
from cli.screen.plan.sentences import sentences
from cli.screen.record import Record
from cli.stack import deployment
from cli.stack.open import open_stack
from cli.text import age
from cli.update import updates, versions
from cli.update.versions import Versions
from cli.verify import verify
from cli.verify.found import Result

OK, WARNING, FAILED = "ok", "warning", "FAILED"
OLD = timedelta(days=90)
"""After so long without a deployment an image is called old: its base image has had security updates by then."""
SHOWN = 5
"""How many changes are named."""


@dataclass(frozen=True)
class Finding:
    """A line of the screen."""

    state: str
    """`ok`, `warning` or `FAILED`."""
    text: str
    remedy: str = ""
    """The command that mends it, or goes on from there."""


def run(name: str, *, as_json: bool, emulate: bool = False) -> int:
    """Print the screen. Returns the exit status: 1 if something does not work."""
    stack = open_stack(name, emulate=emulate)
    outputs = deployment.stack_outputs(stack.deployment())
    checked = verify.results(stack)
    looked = updates.look(name, (), emulate=emulate, tells=False)
    found = [
        *of_services(outputs, datetime.now(UTC), stack.option),
        *of_checks(checked),
        *of_configuration(looked.record, stack.option),
    ]
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        console.lines(f"The stack '{stack.name}'", rows(found))
    return 1 if any(one.state == FAILED for one in found) else 0


def rows(found: Iterable[Finding]) -> Iterator[tuple[str, str]]:
    """The lines: what needs a person comes last, where the eye is."""
    order = (OK, WARNING, FAILED)
    for one in sorted(found, key=lambda one: order.index(one.state)):
        yield one.state, one.text
        for line in one.remedy.splitlines():
            yield "", f"→ {line}"


def of_services(outputs: Mapping[str, Any], now: datetime, option: str) -> Iterator[Finding]:
    """What each service is to run, how old that is, and what is held back."""
    known = versions.every(outputs)
    before = edges(outputs)
    behind = f" behind {', '.join(before)}" if before else ""
    asked = outputs.get("serviceUrls") or {}
    for service, hosts in sorted((outputs.get("serviceHosts") or {}).items()):
        where = ", ".join(hosts) + (behind if asked.get(service) else "")
        if service in known:
            yield from _of_versions(known[service], where, now, option)
        else:
            yield Finding(OK, f"{service}: on {where}")


def _of_versions(known: Versions, where: str, now: datetime, option: str) -> Iterator[Finding]:
    current, service = known.version(known.current, option), known.service
    started = str(current["deployments"][-1]["started"])
    since = age(started, now)
    if not versions.is_whole(current):
        yield Finding(
            WARNING,
            f"{service}: the roll-out of version {known.current} has not ended well, {since} ago",
            f"./slip up{option}, or ./slip rollback {service}{option}",
        )
    elif now - datetime.fromisoformat(started) > OLD:
        yield Finding(
            WARNING,
            f"{service}: version {known.current} on {where}, deployed {since} ago: its base image may lack updates",
            f"build it on a newer base image, then ./slip up{option}",
        )
    else:
        yield Finding(OK, f"{service}: version {known.current} on {where}, deployed {since} ago")
    if known.left:
        left = ", ".join(map(str, known.left))
        yield Finding(
            WARNING,
            f"{service}: a rollback left version {left}, which no `up` deploys by itself",
            f"./slip up --forward {service}{option}",
        )


def of_checks(results: Sequence[Result]) -> Iterator[Finding]:
    """What the checks of `verify` found."""
    passed = [one for one in results if one.passed and not one.warned]
    yield Finding(OK, f"{len(passed)} of {len(results)} checks of hosts, registry, services and certificates")
    skipped = sum(one.skipped for one in results)
    for one in results:
        if one.warned:
            yield Finding(WARNING, f"{one.check}: {one.subject}: {one.detail}")
        elif not one.passed and not one.skipped:
            yield Finding(FAILED, f"{one.check}: {one.subject}: {one.detail}", one.remedy)
    if skipped:
        yield Finding(FAILED, f"{skipped} checks did not run, since what they need gives no answer")


def of_configuration(record: Record | None, option: str) -> Iterator[Finding]:
    """Whether an `up` would change something."""
    if record is None:
        yield Finding(
            FAILED, "what an `up` would change is unknown: the preview failed", f"./slip preview{option}"
        )
    elif not record.changes:
        yield Finding(OK, "all is as the configuration says")
    else:
        said = [f"{one.about}: {one.text}" for one in sentences(record.steps)]
        more = [f"and {len(said) - SHOWN} more"] if len(said) > SHOWN else []
        yield Finding(
            WARNING,
            f"an `up` would change {len(record.changes)} resources: {'; '.join([*said[:SHOWN], *more])}",
            f"./slip preview{option}, then ./slip up{option}",
        )
