"""`slip rollback`: a service goes back to a version, with code and configuration as they were.

It is an update by Pulumi of the service's own resources, with an order to the program (components/rollbacks.py). So
nothing is built, other services stay as they are, and the stack's outputs say that the rollback holds.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running.registry_api import RegistryApi
from cli.running.stack import Failed, RunningStack, running_of
from cli.running.stored_image import look
from cli.stack import deployment
from cli.stack.open import open_stack
from cli.stack.stack import Stack
from cli.text import short_digest
from cli.update import records, versions
from cli.update.orders import limited_to, targets_of
from cli.update.updates import Update, up
from cli.update.versions import Versions


def run(
    name: str,
    service: str,
    *,
    to: str | None,
    yes: bool,
    unverified: bool = False,
    options: Sequence[str] = (),
    emulate: bool = False,
) -> int:
    """Take a service back to a version. Returns the exit status.

    Args:
        name: the stack's name.
        service: the service's.
        to: the version's number, or its name in the registry; by default the good one before the current one.
        yes: do not ask for confirmation.
        unverified: take a version from the registry that this state has not recorded, too.
        options: additional arguments for Pulumi.
        emulate: whether it is the stack's emulation.

    Raises:
        CommandError: there is no such version, its image is gone everywhere, or the answer was no.

    """
    stack = open_stack(name, edits=True, works_on_hosts=True, emulate=emulate)
    if not yes and not console.is_interactive():
        raise console.unconfirmed(
            "a rollback", f"To roll back without one: `./slip rollback {service} --yes{stack.option}`."
        )
    state = stack.deployment()
    known = versions.of(deployment.stack_outputs(state), service, stack.option)
    version = _target(stack, known, to, unverified=unverified)
    number = int(version["number"])
    running = running_of(stack)
    followers = stack.config.followers(service)
    places = running.outputs.get("serviceHosts") or {}
    hosts = list(dict.fromkeys(host for name in (service, *followers) for host in places.get(name) or ()))
    silent = require_image(running, service, version, hosts)
    _announce(known, version, places.get(service) or (), service)
    for follower in followers:
        console.say(f"  {follower}, which runs its image, goes along, with the settings of this clone")
    if not yes:
        console.confirm(f"Roll {service} back to version {number}?", remedy="Pass --yes.")
    targets = [urn for name in (service, *followers) for urn in targets_of(state, name, silent)]
    options = (*limited_to(targets), *options)
    status = up(
        Update(
            name,
            yes=True,
            preview=False,
            options=options,
            emulate=emulate,
            back={service: number},
            recovered={} if number in known.numbers else {service: version},
            command="rollback",
        )
    )
    if status == 0:
        console.say(
            f"{service} stays at version {number} until its code or its settings change. "
            f"To deploy what was left: ./slip up --forward {service}{stack.option}"
        )
    return status


def _target(stack: Stack, known: Versions, to: str | None, *, unverified: bool) -> Mapping[str, Any]:
    """The version to go to: one of the state, or one that only the registry has, with a number that is free."""
    if to is not None and to not in map(str, known.numbers):
        lost = records.find(stack, known, to)
        if not lost.is_verified and not unverified:
            raise CommandError(
                f"version {to} of {known.service} is not of this stack's state: the registry has its record from "
                "another state, such as one that was lost, or from somebody who may push there",
                f"`./slip diff {known.service} {to}{stack.option}` shows what it would change. To go there all the "
                f"same: `./slip rollback {known.service} --to {to} --unverified{stack.option}`",
                status=1,
            )
        taken = lost.number in known.numbers
        return {**lost.version, "number": lost.free if taken else lost.number}
    number = known.before if to is None else int(to)
    if number is None:
        raise CommandError(
            f"{known.service} has no good version before version {known.current}. Versions: "
            f"{', '.join(map(str, known.numbers))}",
            f"`./slip history {known.service}{stack.option}` shows them.",
            status=1,
        )
    version = known.version(number, stack.option)
    if number == known.current and versions.is_whole(version):
        raise CommandError(f"{known.service} is at version {number} already", status=1)
    return version


def _announce(known: Versions, version: Mapping[str, Any], hosts: Sequence[str], service: str) -> None:
    number = int(version["number"])
    now = next((one for one in known.versions if int(one["number"]) == known.current), version)
    console.say(
        f"{service} goes from version {known.current} to version {number} on {', '.join(hosts)}, without a build:"
    )
    for what, was, then in versions.differences(now, version, service):
        if not what.startswith("secret ") and not versions.is_file(what):
            console.say(f"  {what}: {was} → {then}")
    if version["settings"].get("secrets"):
        console.say(
            f"  secrets ({', '.join(version['settings']['secrets'])}): as they are now; old values are not kept"
        )
    if files := [name.partition(" ")[2] for name in version["secrets"] if versions.is_file(name)]:
        console.say(f"  files ({', '.join(files)}): as they are now; old contents are not kept")
    if not versions.is_good(version):
        console.warn(f"Version {number} has never been deployed successfully.")


def require_image(
    running: RunningStack, service: str, version: Mapping[str, Any], hosts: Sequence[str]
) -> list[str]:
    """See that every host of the service has a version's image, or can pull it.

    Returns the silent hosts of the stack, on which the service does not run.

    Raises:
        CommandError: a host of the service does not answer, or has not got the image, and the registry has not either.

    """
    found = images_on_hosts(running, service, versions.image_of(version, service))
    silent = silent_hosts(running, found, service, hosts, "the rollback")
    lacking = [host for host in hosts if not found[host]]
    if lacking and (why := _not_in_registry(running, service, version)):
        raise CommandError(
            f"nothing was changed: the image of version {int(version['number'])} of {service}, "
            f"{short_digest(versions.image_of(version, service))}, is not on {', '.join(lacking)}, and {why}",
            f"`./slip history {service}{running.option}` shows the other versions.",
            status=1,
        )
    return silent


def images_on_hosts(running: RunningStack, service: str, digest: str) -> dict[str, bool | None]:
    """Whether each host of the stack has an image of a service; None for one whose engine does not answer."""
    reference = f"{running.wanted(service).partition('@')[0]}@{digest}"
    with ThreadPoolExecutor(max_workers=16) as pool:
        has = pool.map(lambda host: _has(running, host, reference), running.hosts)
        return dict(zip(running.hosts, has, strict=True))


def silent_hosts(
    running: RunningStack, found: Mapping[str, bool | None], service: str, hosts: Sequence[str], command: str
) -> list[str]:
    """The hosts whose engines do not answer, on none of which the service runs.

    Args:
        running: the stack.
        found: what `images_on_hosts` says.
        service: the service's name.
        hosts: where it runs.
        command: what to do again once the host is no longer in the stack.

    Raises:
        CommandError: a host of the service does not answer.

    """
    silent = [host for host, has in found.items() if has is None]
    if dead := [host for host in hosts if host in silent]:
        raise CommandError(
            f"nothing was changed: the engine of {', '.join(dead)} does not answer, and {service} runs there",
            f"`./slip verify{running.option}` shows what is wrong. If the machine is lost: "
            f"`./slip forget {dead[0]}{running.option}`, and then {command}.",
            status=1,
        )
    return silent


def _has(running: RunningStack, host: str, reference: str) -> bool | None:
    """Whether a host has an image; None if its engine does not answer."""
    from docker.errors import ImageNotFound

    try:
        with running.docker(host) as client:
            try:
                client.inspect_image(reference)  # type: ignore[no-untyped-call]
            except ImageNotFound:
                return False
            return True
    except Failed:
        return None


def _not_in_registry(running: RunningStack, service: str, version: Mapping[str, Any]) -> str:
    """Why the registry cannot give an image to hosts; empty if it can."""
    try:
        with RegistryApi(running.registry_endpoint) as api:
            stored = look(api, running.repository(service), versions.image_of(version, service))
    except (Failed, CommandError, OSError) as error:
        return str(error)
    if not stored.has_manifest:
        return "the registry does not have it any more"
    return "the registry has lost a part of it" if stored.lacking else ""
