"""`slip down --without-state`: the way out if a local stack's state, or the passphrase of its secrets, is lost.

Nothing can log in to the hosts then: the keys were in the state. So the hosts are removed, by the label of their clone,
and the registry's data stays. The next `up` makes everything else anew.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.stack import deployment, passphrase
from cli.stack.backend import Backend
from cli.stack.lost_secrets import cleaned
from cli.stack.project import Project, write_private
from cli.stack.pulumi_command import PulumiCommand
from cli.stack.stack import Stack
from cli.update import ownership
from cli.update.ownership import CONTAINER, NETWORK, VOLUME, Resource
from cli.update.purge import operators_engine


def remove(name: str, *, yes: bool, purge: bool) -> int:
    """Remove the hosts that this clone made for a stack; with `purge` also the registry's data. Returns the status.

    Raises:
        CommandError: the state and its passphrase are there, or the stack is not on the platform `local`.

    """
    project = Project.here()
    stack = _stack(project, name)
    config = stack.config
    if config.platform != "local":
        raise CommandError(
            f"--without-state removes hosts from this machine's Docker Engine, and the stack '{name}' is on the "
            f"platform {config.platform}",
            "There, remove what has the tag `slipway:stack` by the platform's own console, and keep the data volume.",
            status=2,
        )
    if stack.backend.directory is None:
        raise CommandError(
            f"the state of '{name}' is in the backend {stack.backend.url or 'of your login'}",
            f"Remove it there: `pulumi stack rm --force {name}`, then run this command with a backend in files.",
            status=2,
        )
    state = stack.deployment()
    phrase = passphrase.current(project, os.environ)
    salts = passphrase.salts(config, state)
    knows = config.has_secrets_provider or all(passphrase.fits(phrase, salt) for salt in salts)
    present = ownership.claim_of(state) if knows else ownership.Claim()
    has_hosts = any(kind == CONTAINER for kind, _ in present.made)
    with operators_engine() as engine:
        ours = [
            item
            for item in ownership.found(engine, stack)
            if item.clone == str(project.root) and not present.covers(item)
        ]
        # A `pulumi up` that the hosts of the lost state have stopped leaves a state without hosts.
        is_lost = not has_hosts and any(item.kind == CONTAINER for item in ours)
        if knows and deployment.managed(state) and not is_lost:
            raise CommandError(
                f"the state of '{name}' is there, and its passphrase is the right one",
                f"Run `./slip down{stack.option}`.",
                status=2,
            )
        kept = [] if purge else [item for item in ours if _is_data(item, stack)]
        going = [item for item in ours if item not in kept]
        _announce(stack, going, kept, knows=knows)
        if not yes:
            console.confirm("Remove this?", remedy="Pass --yes to remove it.")
        for item in sorted(going, key=lambda item: (CONTAINER, NETWORK, VOLUME).index(item.kind)):
            remove_resource(engine, item)
    if not knows:
        _drop_secrets(stack)
    console.say(
        f"Done. `./slip up{stack.option}` makes the hosts anew"
        f"{', with the images of ' + kept[0].name if kept else ''}."
    )
    return 0


def _stack(project: Project, name: str) -> Stack:
    backend = Backend.of(project, os.environ)
    # Pulumi is not run: it could not read the state.
    return Stack(project, name, backend, PulumiCommand(Path("pulumi"), project.root, os.environ))


def _is_data(item: Resource, stack: Stack) -> bool:
    """Whether it is the volume with the registry's data (components/hosts/local_host.py)."""
    return item.kind == VOLUME and item.name == f"slipway-{stack.short_name}-registry"


def _announce(stack: Stack, going: list[Resource], kept: list[Resource], *, knows: bool) -> None:
    console.say(f"This clone has made for the stack {stack.name}, and this command removes:")
    for line in [str(item) for item in going] or ["(nothing that is still there)"]:
        console.say(f"  {line}")
    hosts = [item.name for item in going if item.kind == CONTAINER and item.volumes and item.running]
    if hosts and _has_volumes(stack.config.setting("services")):
        console.warn(
            "The data in the volumes of services goes with the hosts. To save it first, for each host: "
            f"`docker exec {hosts[0]} tar --create --directory /var/lib/docker/volumes . >{hosts[0]}.tar`"
        )
    if kept:
        console.say(f"It keeps the registry's images: {', '.join(item.name for item in kept)}.")
    if not knows:
        console.say(
            f"The passphrase of the stack's secrets is lost. So the state and the secrets in {stack.config_file.name} "
            "go to .slipway/backups."
        )


def _has_volumes(services: object) -> bool:
    found = services.values() if isinstance(services, dict) else ()
    return any(isinstance(one, dict) and one.get("volumes") for one in found)


def remove_resource(engine: Any, item: Resource) -> None:
    """Remove one resource of the operator's engine; one that is gone is fine."""
    from docker.errors import NotFound

    try:
        if item.kind == CONTAINER:
            engine.remove_container(item.identifier, force=True)
        elif item.kind == NETWORK:
            engine.remove_network(item.identifier)
        else:
            engine.remove_volume(item.identifier)
    except NotFound:
        return


def _drop_secrets(stack: Stack) -> None:
    """Move the unreadable state aside, and take the unreadable secrets out of the configuration."""
    backups = stack.project.private / "backups"
    backups.mkdir(mode=0o700, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    state = stack.backend.state_file(stack.project.name, stack.short_name)
    if state:
        for path in state.parent.glob(f"{stack.short_name}.json*"):
            path.replace(backups / f"{stamp}-{path.name}")
    if not stack.config_file.exists():
        return
    text = stack.config_file.read_text(encoding="utf-8")
    result = cleaned(text)
    if result.text == text:
        return
    write_private(backups / f"{stamp}-{stack.config_file.name}", text)
    stack.config_file.write_text(result.text, encoding="utf-8")
    passwords = f"{stack.project.name}:passwords."
    names = [key for key in result.removed if not key.startswith(passwords)]
    if len(names) < len(result.removed):
        console.say(
            "The next `up` makes new passwords for the registry's accounts; who uses one has to log in again."
        )
    for key in names:
        name = key.removeprefix(f"{stack.project.name}:secrets.")
        console.warn(
            f"{key} is lost. Set it again before the next `up`: `./slip secret set {name}{stack.option}`."
        )
