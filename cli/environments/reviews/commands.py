"""`slip review close`, `list` and `sweep`."""

import json
import os
from collections.abc import Iterator
from datetime import datetime

from cli import console
from cli.environments.reviews import guests, removal
from cli.environments.reviews.known import Environment, environments, left_behind, opened
from cli.environments.reviews.listing import Row, row
from cli.environments.reviews.record import stack_of
from cli.errors import CommandError
from cli.stack import deployment, processes
from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.update.purge import operators_engine


def close(pull_request: int) -> int:
    """Remove an environment with its data; one that does not exist is fine. Returns the exit status."""
    project = Project.here()
    backend = Backend.of(project, os.environ)
    found = next(iter(environments(project, backend, only=pull_request)), None)
    if removal.remove(project, backend, found or Environment(pull_request, stack_of(pull_request))):
        console.say(f"Removed the review environment of pull request {pull_request}.")
    else:
        console.say(f"There is no review environment of pull request {pull_request}: nothing to remove.")
    return 0


def sweep() -> int:
    """Remove the environments whose time is over, and what killed commands left. Returns 1 if some of it stays."""
    project = Project.here()
    backend = Backend.of(project, os.environ)
    now = processes.now()
    removed, failed = 0, 0
    over = list(_over(project, backend, now))
    try:
        over += _lost_guests(project, backend)
    except CommandError as error:
        console.error(error.message, error.remedy)
        failed += 1
    for environment in over:
        try:
            gone = removal.remove(project, backend, environment, if_over_at=now)
        except CommandError as error:
            # One that cannot be removed must not keep the others.
            console.error(f"pull request {environment.pull_request}: {error.message}", error.remedy)
            failed += 1
            continue
        if gone:
            console.say(f"Removed the review environment of pull request {environment.pull_request}.")
            removed += 1
    removal.remove_free_locks(project, environments(project, backend))
    if not (removed or failed):
        console.say("There is nothing to remove.")
    return 1 if failed else 0


def _over(project: Project, backend: Backend, now: datetime) -> Iterator[Environment]:
    """The environments whose time is over, and those that killed commands left without a record or a state."""
    known = environments(project, backend)
    for one in known:
        if one.record.is_over(now) if one.record else not one.has_file and _is_empty(project, backend, one):
            yield one
    with operators_engine() as engine:
        lost = left_behind(engine, project, backend, known)
    yield from lost


def _lost_guests(project: Project, backend: Backend) -> list[Environment]:
    """The environments that only the hosts know on which the template has them.

    Raises:
        CommandError: a host does not answer, or the outputs of their stack cannot be decrypted.

    """
    name = guests.hosts_in_template(project)
    if not name:
        return []
    there = guests.there(guests.outputs_of(project, backend, name))
    known = {one.pull_request for one in environments(project, backend)}
    return [Environment(number, stack_of(number)) for number in sorted(there - known)]


def _is_empty(project: Project, backend: Backend, environment: Environment) -> bool:
    return not deployment.resources(opened(project, backend, environment).deployment())


def show(*, as_json: bool) -> int:
    """List the environments. Returns the exit status."""
    project = Project.here()
    backend = Backend.of(project, os.environ)
    known = environments(project, backend)
    with operators_engine() as engine:
        rows = [row(engine, project, backend, one) for one in known if one.record]
        lost = left_behind(engine, project, backend, known)
    try:
        lost += _lost_guests(project, backend)
    except CommandError as error:
        console.warn(error.message)
    note = "its state is gone, `./slip review sweep` removes it"
    rows += [Row(one.pull_request, notes=(note,)) for one in lost]
    if as_json:
        print(json.dumps([one.as_json() for one in rows], indent=2))
    elif rows:
        now = processes.now()
        console.table(
            "Review environments",
            ["pull request", "stays until", "address", "note"],
            [one.cells(now) for one in rows],
        )
    else:
        console.say("There are no review environments. `./slip review open NUMBER` makes one.")
    return 0
