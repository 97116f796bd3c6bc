"""One line of `slip review list`: what the record, the state and this machine's engine say of an environment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cli.environments.reviews.known import Environment, opened, ours
from cli.environments.reviews.record import CLOSING, FORMAT
from cli.stack import deployment
from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.update import marker
from cli.update.ownership import CONTAINER


@dataclass(frozen=True)
class Row:
    """What is told of one environment."""

    pull_request: int
    until: datetime | None = None
    """When its time is over; None if that is not known."""
    urls: tuple[str, ...] = ()
    """Where its services answer."""
    notes: tuple[str, ...] = ()
    """What is wrong with it."""
    hosts_of: str = ""
    """The stack on whose hosts it is; empty if it has hosts of its own."""

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "pullRequest": self.pull_request,
            "until": f"{self.until:{FORMAT}}" if self.until else "",
            "urls": list(self.urls),
            "notes": list(self.notes),
            "hostsOf": self.hosts_of,
        }

    def cells(self, now: datetime) -> list[str]:
        """For a table."""
        until = f"{self.until:{FORMAT}} ({_left(self.until, now)})" if self.until else ""
        return [str(self.pull_request), until, ", ".join(self.urls), "; ".join(self.notes)]


def _left(until: datetime, now: datetime) -> str:
    seconds = int((until - now).total_seconds())
    if seconds <= 0:
        return "over"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def row(engine: Any, project: Project, backend: Backend, environment: Environment) -> Row:
    """What is told of an environment with a record.

    Args:
        engine: a client of the operator's engine.
        project: the clone.
        backend: the backend.
        environment: the environment.

    """
    assert environment.record  # noqa: S101 - for the type checker
    until = environment.record.until
    if until == CLOSING:
        note = "its removal was interrupted, `./slip review sweep` goes on with it"
        return Row(environment.pull_request, notes=(note,))
    stack = opened(project, backend, environment)
    state = stack.deployment() if environment.is_made else {}
    outputs = deployment.stack_outputs(state)
    services = outputs.get("serviceUrls")
    urls = tuple(str(url) for each in services.values() for url in each) if isinstance(services, dict) else ()
    notes = []
    if other := marker.running(stack):
        notes.append(f"an update of it runs: {other}")
    elif not outputs:
        notes.append(f"it was never up, `./slip review open {environment.pull_request}` goes on with it")
    hosts = set(deployment.hosts(state))
    running = {item.name for item in ours(engine, stack) if item.kind == CONTAINER and item.running}
    if dead := sorted(host for host in hosts if f"slipway-{stack.short_name}-{host}" not in running):
        notes.append(f"{', '.join(dead)} does not run")
    return Row(environment.pull_request, until, urls, tuple(notes), environment.record.hosts_of)
