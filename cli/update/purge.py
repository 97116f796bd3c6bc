"""`slip down --purge`: removes a local stack's resources on the operator's Docker Engine, and no others."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.config import StackConfig
from cli.stack.stack import LOCAL_STACK, Stack
from cli.update import ownership
from cli.update.ownership import CONTAINER, NETWORK, VOLUME, Resource


@contextmanager
def operators_engine(*, status: int = 3) -> Iterator[Any]:
    """A client of the operator's engine, which runs the hosts of the platform `local`. `status` is for failures."""
    from cli.running.engine import ERRORS, connected

    try:
        with connected("") as engine:
            yield engine
    except ERRORS as error:
        raise CommandError(
            f"listing or removing the stack's resources on this machine's Docker Engine failed: {error}",
            "Start the engine, or set DOCKER_HOST, and run the command again.",
            status=status,
        ) from error


def refuse_taken_name(stack: Stack) -> None:
    """Refuse the first `up` of a stack if another clone has a stack of the same name on this machine.

    A stack that has hosts already is not checked. Without a state file, reading the state takes a third of a second, so
    the record of this clone's last `up` is enough.

    Raises:
        CommandError: another clone has a stack of this name.

    """
    if stack.backend.directory is None and ownership.is_checked(stack):
        return
    state = stack.deployment()
    has_hosts = any(kind == CONTAINER for kind, _ in ownership.claim_of(state).made)
    adopted: Collection[str] = ()
    if not has_hosts:
        with operators_engine() as engine:
            resources = ownership.found(engine, stack)
        ours = ownership.claim(stack, state=state)
        present = ownership.claim_of(state)
        others, adopted = ownership.obstacles(resources, present, ours, stack.project.root)
        if others:
            raise ownership.refusal_of_up(stack, others)
    ownership.remember(stack, state, adopted=adopted, checked=has_hosts)


def mark_checked(stack: Stack) -> None:
    """Record that an `up` succeeded, so that the next one need not read the state first (`refuse_taken_name`)."""
    if stack.backend.directory is None and not ownership.is_checked(stack):
        ownership.remember(stack, checked=True)


def remember(stack: Stack) -> None:
    """Record which data is the stack's, before a `down` removes the evidence in the state."""
    resources: list[Resource] = []
    # Without an engine, the `down` itself fails if there is anything to remove.
    with suppress(CommandError), operators_engine() as engine:
        resources = ownership.found(engine, stack)
    ownership.remember(stack, resources=resources)


def announce(stack: Stack, *, yes: bool) -> list[Resource]:
    """List the resources that a purge removes, and ask for confirmation unless `yes` is set. Returns the resources.

    Raises:
        CommandError: some resources with the stack's name belong to another stack, or the answer was no.

    """
    with operators_engine() as engine:
        resources = ownership.found(engine, stack)
        ours = ownership.claim(stack, resources)
        others = ownership.foreign(resources, ours)
        if not ownership.are_left_by_an_older_version(others, engine):
            raise ownership.refusal_of_purge(stack, others, ours)
    console.say(f"This removes the stack {stack.name} and its data, on this machine's Docker Engine:")
    for line in [str(resource) for resource in resources] or ["(none)"]:
        console.say(f"  {line}")
    if others:
        names = ", ".join(item.name for item in others)
        console.say(f"An older version left some of it, which no container uses: {names}.")
    if not yes:
        console.confirm(
            "Remove all of it, including the registry's images?", remedy="Pass --yes to remove it."
        )
    return resources


def purge(stack: Stack, announced: Collection[Resource]) -> None:
    """Remove the announced resources that the destroyed stack has left, then the stack itself.

    The stack's configuration is removed too, unless it was edited since `up` made it.

    Raises:
        CommandError: resources are left in the stack's state, so its data stays.

    """
    if left := deployment.managed(stack.deployment()):
        raise CommandError(
            f"{len(left)} resources of the stack '{stack.name}' are left, so its data was not removed",
            f"Run `./slip down --purge{stack.option}` again, without --target or --exclude.",
            status=1,
        )
    expected = {(resource.kind, resource.identifier, resource.state) for resource in announced}
    with operators_engine(status=1) as engine:
        left_over = [
            resource
            for resource in ownership.found(engine, stack)
            if (resource.kind, resource.identifier, resource.state) in expected
        ]
        # In this order: networks and volumes cannot be removed while containers use them.
        for identifier in _identifiers(left_over, CONTAINER):
            engine.remove_container(identifier, force=True)
        for identifier in _identifiers(left_over, NETWORK):
            engine.remove_network(identifier)
        for identifier in _identifiers(left_over, VOLUME):
            engine.remove_volume(identifier)
    if left_over:
        console.say(
            f"Removed the remaining resources: {', '.join(f'{item.kind} {item.name}' for item in left_over)}."
        )
    ownership.forget(stack)
    if stack.exists():
        stack.remove()
    template = StackConfig.read(LOCAL_STACK, stack.project.name)
    if without_secrets(stack.config) == template.content:
        stack.config_file.unlink(missing_ok=True)
    kept = f" {stack.config_file.name}, which was edited, stays." if stack.config_file.exists() else ""
    console.say(f"Removed the stack {stack.name} with its data and its history.{kept}")


def _identifiers(resources: Collection[Resource], kind: str) -> list[str]:
    return [resource.identifier for resource in resources if resource.kind == kind]


def without_secrets(config: StackConfig) -> dict[str, Any]:
    """A configuration without the values that `up` adds."""
    settings = dict(config.content.get("config") or {})
    settings.pop(f"{config.project}:passwords", None)
    rest = {key: value for key, value in config.content.items() if key != "encryptionsalt"}
    return {**rest, "config": settings}


def say_what_is_kept(stack: Stack) -> None:
    """Print the volumes that a plain `down` keeps."""
    try:
        with operators_engine() as engine:
            resources = ownership.found(engine, stack)
    except CommandError:
        return  # the stack was removed successfully; only the list is missing
    ours = ownership.claim(stack)
    names = [item.name for item in resources if item.kind == VOLUME and ours.covers(item)]
    if names:
        console.say(f"Kept the data of {stack.name}: {', '.join(names)}.")
        console.say(f"`./slip down --purge{stack.option}` removes it too.")
