"""`slip forget HOST`: take a host that is gone for good out of the state, with all that lived on it.

Pulumi reaches what it manages through the host's engine, so a dead engine fails every preview and update. Forgetting
works offline: it edits the exported state and imports it again.
"""

import copy
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.deployment import Deployment, Resource, name_of, provider_urn
from cli.stack.project import write_private
from cli.stack.stack import Stack
from cli.update import recovery


@dataclass(frozen=True)
class Forgotten:
    """What forgetting a host made of a deployment."""

    deployment: Deployment
    """The deployment without what lived on the host."""
    removed: tuple[str, ...]
    """URNs of what is no longer in it."""


def forget(before: Deployment, host: str) -> Forgotten:
    """Remove from a deployment all that lived on a host, and mark the host itself to be made anew.

    The rest stays as it is, except for references to what was removed. `before` is left untouched.

    Raises:
        CommandError: there is no such host in the deployment.

    """
    known = deployment.hosts(before)
    if host not in known:
        names = ", ".join(sorted(known)) or "none"
        raise CommandError(f"no host '{host}' in this stack's state", f"Hosts there: {names}.")
    after = copy.deepcopy(before)
    own = known[host]["urn"]
    gone = _living_on(own, deployment.resources(after))
    kept = [resource for resource in deployment.resources(after) if resource["urn"] not in gone]
    for resource in kept:
        _cut(resource, gone)
        if resource["urn"] == own and not resource.get("delete"):
            resource["taint"] = True
    after["resources"] = kept
    if pending := deployment.pending_operations(after):
        after["pending_operations"] = [
            operation for operation in pending if operation["resource"]["urn"] not in gone
        ]
        for operation in after["pending_operations"]:
            _cut(operation["resource"], gone)
    removed = [resource["urn"] for resource in deployment.resources(before) if resource["urn"] in gone]
    return Forgotten(after, tuple(dict.fromkeys(removed)))


def _living_on(host: str, resources: Iterable[Resource]) -> frozenset[str]:
    """The URNs of everything that cannot be without the host, transitively; the host itself is not among them."""
    everything = list(resources)
    gone: set[str] = set()
    while True:
        more = {
            resource["urn"]
            for resource in everything
            if resource["urn"] != host
            and resource["urn"] not in gone
            and (
                resource.get("deletedWith") in gone | {host}
                or resource.get("parent") in gone
                or resource.get("viewOf") in gone
                or provider_urn(resource) in gone
            )
        }
        more |= _idle_providers(everything, gone | more, host)
        if not more:
            return frozenset(gone)
        gone |= more


def _idle_providers(resources: list[Resource], gone: Collection[str], host: str) -> set[str]:
    """The providers through which only what is gone was reached.

    A provider need not say that it is deleted with its host. One that nobody uses yet counts if it was made from
    something that is gone.
    """
    idle: set[str] = set()
    for provider in deployment.providers({"resources": resources}):
        urn = provider["urn"]
        users = [resource["urn"] for resource in resources if provider_urn(resource) == urn]
        made_from = {*provider.get("dependencies", ()), provider.get("parent")}
        if (
            urn not in gone
            and host not in users
            and all(user in gone for user in users)
            and (users or made_from & set(gone))
        ):
            idle.add(urn)
    return idle


def _cut(resource: Resource, gone: Collection[str]) -> None:
    """Remove every reference to what is gone. Empty lists go as well, as Pulumi writes none."""
    for key in ("dependencies", "replaceWith"):
        if key in resource:
            _set(resource, key, [urn for urn in resource[key] if urn not in gone])
    if "propertyDependencies" in resource:
        # A property without dependencies is written as an empty list or null: both say "known to have none".
        resource["propertyDependencies"] = {
            name: urns if urns is None else [urn for urn in urns if urn not in gone]
            for name, urns in resource["propertyDependencies"].items()
        }


def _set(resource: Resource, key: str, value: list[Any]) -> None:
    if value:
        resource[key] = value
    else:
        del resource[key]


def back_up(stack: Stack, exported: dict[str, Any], *, now: datetime | None = None) -> Path:
    """Keep an exported state in `.slipway/backups`, readable by its owner alone. Its secrets stay encrypted."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S%fZ")
    path = stack.project.private / "backups" / f"{stack.name}-{stamp}.json"
    write_private(path, json.dumps(exported, indent=2) + "\n")
    return path


def run(stack: Stack, host: str, *, yes: bool) -> None:
    """Forget a host, after a question unless `yes`.

    Raises:
        CommandError: no such host, declined, or the state could not be written.

    """
    # An import drops operations that a killed update left pending, so what they made is cleared up first.
    refresh = " --refresh" if recovery.recover(stack) else ""
    exported = stack.export()
    result = forget(exported["deployment"], host)
    console.say(f"{host}: {len(result.removed)} resources lived on it and would be forgotten:")
    for urn in result.removed:
        console.say(f"  {deployment_label(urn)}")
    if not yes:
        console.confirm(
            f"Forget them, and make {host} anew with the next `up`?",
            remedy="Say --yes to forget without a question.",
        )
    backup = back_up(stack, exported)
    exported["deployment"] = result.deployment
    stack.import_state(exported)
    console.say(f"Forgotten. The state before is kept in {backup.relative_to(stack.project.root)}.")
    console.say(
        f"Next: `./slip up{stack.option}{refresh}` makes {host} anew, or, if the configuration no longer has it, "
        "removes it."
    )


def deployment_label(urn: str) -> str:
    """A URN as people read it: the type's last part and the name."""
    kind = urn.rpartition("::")[0].rpartition("::")[2].rpartition("$")[2]
    return f"{kind} {name_of(urn)}"
