"""`slip down --purge`: what a stack's hosts keep when they are removed, their data, and how that goes too."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.config import StackConfig
from cli.stack.stack import LOCAL_STACK, Stack


@contextmanager
def _engine() -> Iterator[Any]:
    """The operator's own engine, where the hosts of the platform `local` live."""
    from cli.running.engine import ERRORS, connected

    try:
        with connected("") as engine:
            yield engine
    except ERRORS as error:
        raise CommandError(
            f"this machine's Docker Engine could not be asked for the stack's volumes: {error}",
            "Start it, or set DOCKER_HOST, and run this again.",
            status=1,
        ) from error


def _labels(stack: Stack) -> list[str]:
    """What everything of the stack on the operator's engine is labelled with."""
    return [f"slipway.project={stack.project.name}", f"slipway.stack={stack.short_name}"]


def volumes(engine: Any, stack: Stack) -> list[str]:
    """The names of the stack's volumes."""
    found = engine.volumes(filters={"label": _labels(stack)})["Volumes"] or []
    return sorted(volume["Name"] for volume in found)


def announce(stack: Stack, *, yes: bool) -> None:
    """Say what a purge destroys, and ask."""
    with _engine() as engine:
        names = volumes(engine, stack)
    console.say(
        f"This removes the stack {stack.name} and its data, these volumes of this machine's Docker Engine:"
    )
    for name in names or ["(none)"]:
        console.say(f"  {name}")
    if not yes:
        console.confirm("Remove all of it, the registry's images included?", remedy="Say --yes to remove it.")


def purge(stack: Stack) -> None:
    """Remove the volumes of a stack that was destroyed, then the stack itself.

    Its configuration goes if it is as `up` made it; one that somebody changed stays.

    Raises:
        CommandError: something of the stack is left, so its data is left too.

    """
    if left := deployment.managed(stack.deployment()):
        raise CommandError(
            f"{len(left)} resources of the stack '{stack.name}' are left, so its data was not removed",
            f"Run `./slip down --purge{stack.option}` again, without --target or --exclude.",
            status=1,
        )
    with _engine() as engine:
        # Only a state that was lost leaves containers or networks here. Volumes can't go before what uses them.
        for container in engine.containers(all=True, filters={"label": _labels(stack)}):
            engine.remove_container(container["Id"], force=True)
        for network in engine.networks(filters={"label": _labels(stack)}):
            engine.remove_network(network["Id"])
        names = volumes(engine, stack)
        for name in names:
            engine.remove_volume(name)
    console.say(f"Removed {len(names)} volumes.")
    if stack.exists():
        stack.remove()
    template = StackConfig.read(LOCAL_STACK, stack.project.name)
    if without_secrets(stack.config) == template.content:
        stack.config_file.unlink(missing_ok=True)
    elif stack.config_file.exists():
        console.say(f"Kept {stack.config_file.name}, which somebody changed.")


def without_secrets(config: StackConfig) -> dict[str, Any]:
    """A configuration without what `up` adds to it."""
    settings = dict(config.content.get("config") or {})
    settings.pop(f"{config.project}:passwords", None)
    rest = {key: value for key, value in config.content.items() if key != "encryptionsalt"}
    return {**rest, "config": settings}


def say_what_is_kept(stack: Stack) -> None:
    """Name the data that a plain `down` leaves."""
    try:
        with _engine() as engine:
            names = volumes(engine, stack)
    except CommandError:
        return  # the stack is gone; that its data could not be listed is no failure of that
    if names:
        console.say(f"Kept the data of {stack.name}: {', '.join(names)}.")
        console.say(f"`./slip down --purge{stack.option}` removes it as well.")
