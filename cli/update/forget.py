"""`slip forget HOST`: remove a lost host from the state, with everything on it.

Pulumi asks a host's engine in every preview and update, so a lost engine fails them all. `forget` works offline: it
edits the exported state and imports it again.
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
    """The result of removing a host from a deployment."""

    deployment: Deployment
    """The deployment without the resources on the host."""
    removed: tuple[str, ...]
    """The URNs of the removed resources."""


def forget(before: Deployment, host: str) -> Forgotten:
    """Remove the resources on a host from a deployment, and mark the host itself for replacement.

    The other resources only lose their references to the removed ones. `before` is not modified.

    Raises:
        CommandError: the deployment has no such host.

    """
    known = {name: resource["urn"] for name, resource in deployment.hosts(before).items()}
    orphaned = deployment.orphaned_hosts(before)
    if host not in known | orphaned:
        names = ", ".join(sorted(known | orphaned)) or "none"
        raise CommandError(f"the host '{host}' is not in this stack's state", f"Hosts in the state: {names}.")
    after = copy.deepcopy(before)
    own = known.get(host) or orphaned[host]
    gone = resources_on(own, deployment.resources(after))
    if host not in known:
        # The state has no machine any more, only what was on it, the set-up command included.
        gone |= {own}
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


def resources_on(host: str, resources: Iterable[Resource]) -> frozenset[str]:
    """The URNs of all resources that depend on the host's existence, without the host itself."""
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
    """The providers that are used only by removed resources.

    A provider need not be `deletedWith` its host. A provider without users counts if it depends on a removed resource.
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
    """Remove a resource's references to removed ones. Lists that become empty go too, since Pulumi writes none."""
    for key in ("dependencies", "replaceWith"):
        if key in resource:
            _set(resource, key, [urn for urn in resource[key] if urn not in gone])
    if "propertyDependencies" in resource:
        # A property without dependencies has an empty list or null: both mean "known to have none".
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
    """Write an exported state to `.slipway/backups`, readable by its owner only. Its secrets stay encrypted."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S%fZ")
    path = stack.project.private / "backups" / f"{stack.name}-{stamp}.json"
    write_private(path, json.dumps(exported, indent=2) + "\n")
    return path


def run(stack: Stack, host: str, *, yes: bool) -> None:
    """Forget a host, after a confirmation unless `yes` is set.

    Raises:
        CommandError: the host does not exist, the answer was no, or the state could not be written.

    """
    # The import drops the pending operations of a killed update, so their resources are cleaned up first.
    refresh = " --refresh" if recovery.recover(stack) else ""
    exported = stack.export()
    result = forget(exported["deployment"], host)
    console.say(f"{host} has {len(result.removed)} resources, which will be forgotten:")
    for urn in result.removed:
        console.say(f"  {deployment_label(urn)}")
    if not yes:
        answers = _what_it_serves(stack, host)
        if answers:
            console.warn(answers)
        console.confirm(
            f"Forget them{' all the same' if answers else ''}, and replace {host} with the next `up`?",
            remedy="Pass --yes to forget without confirmation.",
        )
    backup = back_up(stack, exported)
    exported["deployment"] = result.deployment
    stack.import_state(exported)
    console.say(f"Forgotten. The previous state is in {backup.relative_to(stack.project.root)}.")
    console.say(
        f"Next: `./slip up{stack.option}{refresh}` replaces {host} or, if it is no longer in the configuration, "
        "removes it."
    )


def _what_it_serves(stack: Stack, host: str) -> str:
    """A warning about a host that answers, with what it serves; empty for one that gives no answer."""
    try:
        outputs = stack.outputs()
    except (CommandError, ValueError):
        # It is about a question only; without a state that can be read, nothing could be forgotten.
        return ""
    if host not in (outputs.get("hosts") or {}):
        return ""
    from cli.running import fleet

    report = fleet.ask(outputs, [host])[host]
    if not report.answers:
        return ""
    services = ", ".join(sorted(report.services))
    return f"{host} answers{f', and serves {services}' if services else ''}. It is not lost."


def deployment_label(urn: str) -> str:
    """A URN in a message: the type's last part and the name."""
    kind = urn.rpartition("::")[0].rpartition("::")[2].rpartition("$")[2]
    return f"{kind} {name_of(urn)}"
