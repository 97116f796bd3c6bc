"""Which review environments there are: by the clone's files, by the backend, and by this machine's engine."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cli.environments.reviews import tags
from cli.environments.reviews.file import port_offset
from cli.environments.reviews.record import TAG, Record, moment, pull_request_of, stack_of
from cli.environments.stacks import full_names, in_directory, pulumi_of
from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.environment import prepare_toolchain, pulumi_command, variables
from cli.stack.project import Project
from cli.stack.stack import Stack
from cli.update import ownership
from cli.update.ownership import Resource
from well_known import CLONE_LABEL, PROJECT_LABEL, REVIEW_LABEL, STACK_LABEL


@dataclass(frozen=True)
class Environment:
    """A stack with the name of a review environment."""

    pull_request: int
    stack: str
    """The stack's name, with an organization if the backend has one."""
    record: Record | None = None
    """None if neither the backend nor a file in the clone says that it is a review environment."""
    is_made: bool = False
    """Whether the backend has the stack."""
    has_file: bool = False
    """Whether the clone has a file of the stack, for whatever purpose."""


def environments(project: Project, backend: Backend, *, only: int | None = None) -> list[Environment]:
    """The stacks with names of review environments, in the clone and in the backend, by number.

    Args:
        project: the clone.
        backend: the backend.
        only: the pull request to look for; None for all.

    """
    found: dict[int, Environment] = {}
    for stack in project.stacks:
        number = pull_request_of(stack)
        if number is not None and only in {None, number}:
            found[number] = Environment(number, stack, _in_file(project, stack, number), has_file=True)
    for one in _in_backend(project, backend, only):
        before = found.get(one.pull_request, one)
        # What the backend says is what every clone sees.
        found[one.pull_request] = replace(one, record=one.record or before.record, has_file=before.has_file)
    return [found[number] for number in sorted(found)]


def _in_file(project: Project, stack: str, number: int) -> Record | None:
    config = StackConfig.read(project.config_file(stack), project.name)
    if config.pull_request != number:
        return None
    review = config.setting("review")
    until = moment(review.get("until"))
    if not until:
        return None
    slot = review.get("slot")
    if config.host_stack and isinstance(slot, int):
        return Record(until, hosts_of=config.host_stack, slot=slot)
    return Record(until, port_offset(config))


def _in_backend(project: Project, backend: Backend, only: int | None) -> Iterable[Environment]:
    if backend.directory is not None:
        for stack in _names(backend, project.name):
            number = pull_request_of(stack)
            if number is not None and only in {None, number}:
                record = Record.parse(tags.in_directory(backend, project.name, stack).get(TAG, ""))
                is_made = backend.state_file(project.name, stack) is not None
                yield Environment(number, stack, record, is_made)
        return
    pulumi = pulumi_of(project, backend)
    for stack, full in full_names(pulumi).items():
        number = pull_request_of(stack)
        if number is not None and only in {None, number}:
            record = Record.parse(tags.by_pulumi(pulumi, full).get(TAG, ""))
            yield Environment(number, full, record, is_made=True)


def _names(backend: Backend, project: str) -> set[str]:
    """The stacks of which a file backend has anything: Pulumi removes one file after the other."""
    states, *others = folders(backend, project)
    tagged = (path.name.removesuffix(tags.SUFFIX) for path in states.glob(f"*{tags.SUFFIX}"))
    recorded = (path.name for folder in others for path in folder.glob("*"))
    return {*in_directory(backend, project), *tagged, *recorded}


def folders(backend: Backend, project: str) -> list[Path]:
    """The folders of a file backend with the stacks' states and tags, and those that have a folder for each stack."""
    assert backend.directory is not None  # noqa: S101 - for the type checker
    pulumi = backend.directory / ".pulumi"
    others = (pulumi / "history", pulumi / "backups", pulumi / "locks/organization")
    return [pulumi / "stacks" / project, *(folder / project for folder in others)]


def refuse_other_stack(stack: Stack, found: Environment) -> None:
    """Refuse a stack that somebody made otherwise. An empty one without a file is what a killed `open` leaves.

    Raises:
        CommandError: it is no review environment.

    """
    if found.record:
        return
    if found.has_file or (found.is_made and deployment.resources(stack.deployment())):
        raise CommandError(
            f"the stack '{stack.name}' is there, and was not opened by `./slip review open`",
            f"If nobody needs it: `./slip down --purge{stack.option}`, and remove {stack.config_file.name}.",
        )


def opened(project: Project, backend: Backend, environment: Environment) -> Stack:
    """The stack of an environment, which needs neither a file nor a passphrase."""
    toolchain = prepare_toolchain(local_hosts=False)
    backend.make()
    backend.mend(project.name, environment.stack.rpartition("/")[2])
    # Neither tags nor the removal of a stack need one, and a clone that has lost its own must get no other.
    user = {**os.environ, "PULUMI_CONFIG_PASSPHRASE": ""}
    added = variables(toolchain, project, backend, StackConfig({}, project.name), user)
    return Stack(project, environment.stack, backend, pulumi_command(toolchain, project, added), added)


def left_behind(
    engine: Any, project: Project, backend: Backend, known: Iterable[Environment]
) -> list[Environment]:
    """The environments of this clone that only this machine's engine knows: their state is gone.

    Args:
        engine: a client of the operator's engine.
        project: the clone.
        backend: the backend.
        known: the environments that the clone and the backend know.

    """
    wanted = {"label": [f"{PROJECT_LABEL}={project.name}", f"{CLONE_LABEL}={project.root}", REVIEW_LABEL]}
    items = [
        *engine.containers(all=True, filters=wanted),
        *engine.networks(filters=wanted),
        *(engine.volumes(filters=wanted)["Volumes"] or []),
    ]
    stacks = {str((item.get("Labels") or {}).get(STACK_LABEL, "")) for item in items}
    numbers = {number for stack in stacks if (number := pull_request_of(stack)) is not None}
    lost = sorted(numbers - {one.pull_request for one in known})
    found = [Environment(number, stack_of(number)) for number in lost]
    return [one for one in found if ours(engine, opened(project, backend, one))]


def ours(engine: Any, stack: Stack) -> list[Resource]:
    """What an environment has on this machine's engine, if this state or this clone made it.

    A stack of this name whose state this clone has in another backend is left alone.
    """
    resources = ownership.found(engine, stack)
    claim = ownership.claim(stack, resources)
    others = ownership.other_states(stack)
    root = str(stack.project.root)
    return [
        item for item in resources if claim.covers(item) or (item.clone == root and item.state not in others)
    ]
