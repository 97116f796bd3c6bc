"""Removes a review environment: from this machine's engine, from the disk, and from the backend.

Everything of it is inside its hosts, which are containers, and their volumes. So they are removed as such, and not by
Pulumi, which would ask each host: that works with a host that is dead, without the passphrase, after any killed update,
and takes seconds.
"""

import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cli.environments.reviews import guests, tags
from cli.environments.reviews.known import (
    Environment,
    environments,
    folders,
    opened,
    ours,
    refuse_other_stack,
)
from cli.environments.reviews.record import CLOSING, TAG, pull_request_of, stack_of
from cli.errors import CommandError
from cli.registry.login import logout
from cli.registry.login_record import LoginRecord
from cli.running.engine import ERRORS
from cli.stack import file_lock
from cli.stack.backend import Backend
from cli.stack.project import Project
from cli.stack.stack import Stack
from cli.update import marker, ownership, recovery
from cli.update.lost_state import remove_resource
from cli.update.ownership import CONTAINER, NETWORK, VOLUME, Resource
from cli.update.purge import operators_engine

KEYED = ("compared", "keys", "records", "resolvers", "stacks", "state-backups", "wanted")
"""The folders of a clone that have a file for a stack under its key."""
TRIES, PAUSE = 5, 1.0
"""How often the engine is asked to remove what it has just refused to, and seconds between. It refuses a volume while
it still removes a container that had it."""


def remove(
    project: Project, backend: Backend, found: Environment, *, if_over_at: datetime | None = None
) -> bool:
    """Remove an environment, with its data. Returns whether there was anything to remove.

    Args:
        project: the clone.
        backend: the backend.
        found: the environment.
        if_over_at: remove it only if its time is over then, as its record says once no update runs any more.

    Raises:
        CommandError: an update of it runs, the stack is no review environment, or something of it is left.

    """
    stack = opened(project, backend, found)
    refuse_other_stack(stack, found)
    recovery.stop(stack)
    if if_over_at is not None:
        now = next(iter(environments(project, backend, only=found.pull_request)), None)
        if now and now.record and not now.record.is_over(if_over_at):
            return False
    if found.is_made and found.record:
        tags.set_tag(stack, TAG, str(replace(found.record, until=CLOSING)))
    removed, others = _remove_from_hosts(project, backend, stack, found)
    if LoginRecord.path(project, stack.short_name).exists():
        logout(project, stack.short_name)
    # The file with the record goes before the tag with it: a sweep goes by one of them.
    for path in files(stack):
        _delete(path)
    if found.is_made:
        stack.remove(force=True)
    for path in _in_backend(stack):
        _delete(path)
    # Commands that wait for their turn make files meanwhile.
    for path in files(stack):
        _delete(path)
    marker.release(stack)
    if others:
        raise CommandError(
            f"this clone has no review environment of pull request {found.pull_request}, but this machine has one:"
            f"{ownership.listed(others)}",
            f"Run `./slip review close {found.pull_request}` in that clone, or with the backend that opened it.",
        )
    _require_gone(project, backend, stack, found, is_guest=bool(_host_stack(project, found)))
    return bool(removed or found.is_made or found.has_file or found.record)


def _host_stack(project: Project, found: Environment) -> str:
    """The stack on whose hosts an environment is. Without a record, it is where the template has them."""
    return found.record.hosts_of if found.record else guests.hosts_in_template(project)


def _remove_from_hosts(
    project: Project, backend: Backend, stack: Stack, found: Environment
) -> tuple[bool, list[Resource]]:
    """Remove its hosts, or what it has on those of another stack.

    Returns whether there was anything, and what another clone has under this name.
    """
    removed = False
    name = _host_stack(project, found)
    if name:
        removed = guests.remove(guests.outputs_of(project, backend, name), stack.short_name)
        if found.record:
            return removed, []
    with operators_engine(status=1) as engine:
        ours_here = _remove_all(engine, stack)
        is_known = removed or ours_here or found.is_made or found.has_file
        return removed or bool(ours_here), [] if is_known else ownership.found(engine, stack)


def remove_free_locks(project: Project, known: Iterable[Environment]) -> None:
    """Remove the lock files of environments of which nothing else is there: of an `open` that was killed at once.

    Args:
        project: the clone.
        known: the environments that the clone and the backend know, whose files stay.

    """
    folder, names = project.private / "running", {stack_of(one.pull_request) for one in known}
    for path in folder.glob("pr-*.lock"):
        if pull_request_of(path.stem) and path.stem not in names and file_lock.holder(path) is None:
            for one in folder.glob(f"{path.stem}.*"):
                one.unlink(missing_ok=True)


def files(stack: Stack) -> Iterator[Path]:
    """What a clone may have of a stack on its disk, beside the state."""
    name, private = stack.short_name, stack.project.private
    yield stack.config_file
    yield from (private / folder / name for folder in ("contexts", "opened", "preview"))
    yield from (private / folder / stack.key for folder in KEYED)
    yield ownership.record(stack)
    yield private / f"diagram-{name}.html"
    yield from (private / "backups").glob(f"*-Pulumi.{name}.yaml")
    yield from (private / "backups").glob(f"{name}-[0-9]*.json")
    yield from (private / "backups").glob(f"*-{name}.json*")
    yield from (private / "running").glob(f"{name}.*")
    directory = stack.backend.directory
    if directory and not directory.is_relative_to(private):
        yield directory / ".slipway" / stack.project.name / f"{name}.lock"


def _in_backend(stack: Stack) -> Iterator[Path]:
    """What a file backend may have of a stack whose removal was killed half-way."""
    if stack.backend.directory is not None:
        states, *others = folders(stack.backend, stack.project.name)
        yield from states.glob(f"{stack.short_name}.*")
        yield from (folder / stack.short_name for folder in others)


def _remove_all(engine: Any, stack: Stack) -> list[Resource]:
    """Remove what the environment has on the engine. Returns that.

    Raises:
        CommandError: the engine does not remove it.

    """
    removed: dict[str, Resource] = {}
    refusal: Exception | None = None
    for attempt in range(TRIES):
        found = ours(engine, stack)
        if not found:
            return list(removed.values())
        if attempt:
            time.sleep(PAUSE)
        # In this order: networks and volumes cannot be removed while containers use them.
        for item in sorted(found, key=lambda item: (CONTAINER, NETWORK, VOLUME).index(item.kind)):
            try:
                remove_resource(engine, item)
                removed[item.identifier] = item
            except ERRORS as error:
                refusal = error
    if left := ours(engine, stack):
        raise _left(stack, [str(item) for item in left], str(refusal or ""))
    return list(removed.values())


def _require_gone(
    project: Project, backend: Backend, stack: Stack, found: Environment, *, is_guest: bool
) -> None:
    """Look once more, at all places; the hosts of another stack have just been asked.

    Raises:
        CommandError: something is left.

    """
    left: list[str] = []
    if not is_guest:
        with operators_engine(status=1) as engine:
            left = [str(item) for item in ours(engine, stack)]
    left += [str(path) for path in files(stack) if path.exists()]
    again = environments(project, backend, only=found.pull_request)
    left += [f"the stack {one.stack} in the backend" for one in again]
    if left:
        raise _left(stack, left, "")


def _left(stack: Stack, what: list[str], reason: str) -> CommandError:
    number = stack.short_name.removeprefix("pr-")
    because = f" ({reason})" if reason else ""
    return CommandError(
        f"this is left of the review environment of pull request {number}: {', '.join(what)}{because}",
        f"Run `./slip review close {number}` again.",
        status=1,
    )


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
