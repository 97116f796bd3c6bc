"""Which resources on the operator's Docker Engine belong to a local stack, and which to another clone's.

The stack's name is not enough: every clone can have a stack `local`. So each resource has a label with the id of the
state that it was made from (`well_known.py`). Resources of older versions lack that label: they belong to the stack
whose state has them.
"""

import json
import shlex
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.deployment import CONTAINER_TYPE, NETWORK_TYPE, VOLUME_TYPE, Deployment
from cli.stack.project import write_private
from cli.stack.stack import Stack
from well_known import CLONE_LABEL, PROJECT_LABEL, STACK_LABEL, STATE_LABEL, state_id

CONTAINER, NETWORK, VOLUME = "container", "network", "volume"
KINDS = {
    CONTAINER_TYPE: CONTAINER,
    NETWORK_TYPE: NETWORK,
    VOLUME_TYPE: VOLUME,
}
"""The kinds of resources that a stack makes on the operator's engine, by their Pulumi type."""
OPERATOR_ENGINE = "operator-engine"
"""The name of the operator's engine's provider (components/hosts/local.py)."""
SSH_KEY = "tls:index/privateKey:PrivateKey", "ssh-key"
"""Type and name of the resource whose public key identifies a state."""


@dataclass(frozen=True)
class Resource:
    """A container, network or volume with the labels of the stack's project and name."""

    kind: str
    identifier: str
    """The id in Pulumi's state: the engine's id, or a volume's name."""
    name: str
    state: str = ""
    """The id of the state that it was made from; empty for a resource of an older version."""
    clone: str = ""
    """The directory of the clone that made it; empty for a resource of an older version."""
    running: bool = False

    def __str__(self) -> str:
        """The resource in a message."""
        return f"{self.kind} {self.name}{', running' if self.running else ''}"


@dataclass(frozen=True)
class Claim:
    """The evidence of which resources a stack has made."""

    states: frozenset[str] = frozenset()
    """The ids of the stack's current and former states."""
    made: frozenset[tuple[str, str]] = frozenset()
    """Kind and identifier of the resources in the current state, and of the volumes in former states."""

    def covers(self, resource: Resource) -> bool:
        """Whether the stack made the resource.

        A state can have a volume of another state, since Docker returns the existing volume for the same name. The ids
        of containers and networks are never reused.
        """
        named = (resource.kind, resource.identifier) in self.made
        if resource.state:
            return resource.state in self.states or (named and resource.kind != VOLUME)
        return named

    def __or__(self, other: "Claim") -> "Claim":
        """The evidence of both."""
        return Claim(self.states | other.states, self.made | other.made)


def claim_of(state: Deployment) -> Claim:
    """The evidence in a state."""
    states: set[str] = set()
    made: set[tuple[str, str]] = set()
    for resource in deployment.managed(state):
        kind: str = resource.get("type", "")
        if (kind, deployment.name_of(resource["urn"])) == SSH_KEY:
            key = (resource.get("outputs") or {}).get("publicKeyOpenssh")
            states |= {state_id(key)} if isinstance(key, str) else set()
        elif kind in KINDS and resource.get("id") and _is_here(resource):
            made.add((KINDS[kind], resource["id"]))
    return Claim(frozenset(states), frozenset(made))


def _is_here(resource: deployment.Resource) -> bool:
    """Whether a Docker resource is on the operator's engine, not on a host's."""
    return deployment.name_of(deployment.provider_urn(resource)) == OPERATOR_ENGINE


def claim(stack: Stack) -> Claim:
    """The evidence in the stack's current and former states."""
    present = claim_of(stack.deployment()) if stack.exists() else Claim()
    return present | _remembered(stack)


def remember(stack: Stack, state: Deployment | None = None, *, adopted: Collection[str] = ()) -> None:
    """Record the evidence of the stack's data: a `down` deletes the key in the state, and an `up` makes another one.

    Args:
        stack: the stack.
        state: its current state, if it was read already.
        adopted: ids of other states whose resources the stack takes over.

    """
    now = claim_of(stack.deployment() if state is None else state)
    before = _remembered(stack)
    volumes = frozenset(pair for pair in now.made if pair[0] == VOLUME)
    after = before | Claim(now.states | frozenset(adopted), volumes)
    if after != before:
        content = {"states": sorted(after.states), "volumes": sorted(name for _, name in after.made)}
        write_private(_record(stack), json.dumps(content) + "\n")


def forget(stack: Stack) -> None:
    """Delete what `remember` recorded, after the stack's resources are removed."""
    _record(stack).unlink(missing_ok=True)


def _remembered(stack: Stack) -> Claim:
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(_record(stack).read_text())
        return Claim(frozenset(content["states"]), frozenset((VOLUME, name) for name in content["volumes"]))
    return Claim()


def _record(stack: Stack) -> Path:
    return stack.project.private / "made" / f"{stack.key}.json"


def found(engine: Any, stack: Stack) -> list[Resource]:
    """The engine's resources with the stack's project and name, from any clone."""
    wanted = {"label": [f"{PROJECT_LABEL}={stack.project.name}", f"{STACK_LABEL}={stack.short_name}"]}
    listed = [
        *(
            _resource(CONTAINER, item, item["Id"], item["Names"][0].removeprefix("/"))
            for item in engine.containers(all=True, filters=wanted)
        ),
        *(_resource(NETWORK, item, item["Id"], item["Name"]) for item in engine.networks(filters=wanted)),
        *(
            _resource(VOLUME, item, item["Name"], item["Name"])
            for item in engine.volumes(filters=wanted)["Volumes"] or []
        ),
    ]
    return sorted(listed, key=lambda resource: (resource.kind, resource.name))


def _resource(kind: str, item: dict[str, Any], identifier: str, name: str) -> Resource:
    given = item.get("Labels") or {}
    return Resource(
        kind,
        identifier,
        name,
        given.get(STATE_LABEL, ""),
        given.get(CLONE_LABEL, ""),
        item.get("State") == "running",
    )


def foreign(resources: Iterable[Resource], ours: Claim) -> list[Resource]:
    """The resources that the stack did not make."""
    return [resource for resource in resources if not ours.covers(resource)]


def obstacles(resources: Collection[Resource], ours: Claim, root: Path) -> tuple[list[Resource], set[str]]:
    """The resources of others that block a first `up`, and the ids of the states whose data the stack takes over.

    A clone takes over its own earlier resources, and volumes of older versions, unless a container uses them.
    """
    others = foreign(resources, ours)
    lives = {resource.state for resource in others if resource.kind == CONTAINER}
    adopted = {
        resource.state
        for resource in others
        if resource.state and resource.state not in lives and resource.clone == str(root)
    }
    return [
        resource for resource in others if (resource.state not in adopted if resource.state else "" in lives)
    ], adopted


def refusal_of_purge(stack: Stack, others: Collection[Resource]) -> CommandError:
    """The error of a `down --purge` that would remove another stack's resources."""
    return CommandError(
        f"resources of a stack '{stack.name}' on this machine are not from this stack's state, so nothing was "
        f"removed:{_listed(others)}",
        _way_out(stack, others),
    )


def refusal_of_up(stack: Stack, others: Collection[Resource]) -> CommandError:
    """The error of a first `up` while another clone's stack has the same name."""
    file, other = stack.project.config_file, stack.short_name
    other = next(name for number in range(2, 1000) if not file(name := f"{other}-{number}").exists())
    return CommandError(
        f"this machine has a stack '{stack.name}' from another state already, so nothing was created:"
        f"{_listed(others)}",
        f"Give this stack another name: `cp {stack.config_file.name} {file(other).name}`, set "
        f"slipway:platform.portOffset in that file to another multiple of 100, and run `./slip up -s {other}`.\n"
        + _way_out(stack, others),
    )


def _listed(others: Collection[Resource]) -> str:
    return "".join(
        f"\n  {resource}, of {f'the clone {resource.clone}' if resource.clone else 'an older version'}"
        for resource in others
    )


def _way_out(stack: Stack, others: Collection[Resource]) -> str:
    """How to remove the others' resources: in the clone with their state, or by hand if the state is lost."""
    root = str(stack.project.root)
    clones = sorted({item.clone for item in others if item.clone not in {"", root}})
    living = [clone for clone in clones if Path(clone).is_dir()]
    lines = [
        f"To remove those of {clone} with their data: `cd {shlex.quote(clone)} && ./slip down --purge{stack.option}`."
        for clone in living
    ]
    if own := [item for item in others if item.clone == root]:
        lines.append(
            f"Some are from another state of this clone, in another backend or lost. If it is lost: "
            f"`{_commands(own)}` removes them with their data."
        )
        if containers := [item for item in own if item.kind == CONTAINER]:
            lines.append(
                f"To keep the registry's images: `{_commands(containers)} && ./slip up{stack.option}`."
            )
    if gone := [item for item in others if item.clone in set(clones) - set(living)]:
        lines.append(f"Some are from a deleted clone: `{_commands(gone)}` removes them with their data.")
    if old := [item for item in others if not item.clone]:
        lines.append(
            f"Some are from an older version: in their clone, `./slip down --purge{stack.option}` removes them. "
            f"If that clone is deleted, `{_commands(old)}` removes them with their data."
        )
    return "\n".join(lines)


def _commands(resources: Collection[Resource]) -> str:
    """The `docker` commands that remove the resources."""
    options = {CONTAINER: "rm --force", NETWORK: "network rm", VOLUME: "volume rm"}
    return " && ".join(
        f"docker {options[kind]} {' '.join(shlex.quote(item.name) for item in resources if item.kind == kind)}"
        for kind in (CONTAINER, NETWORK, VOLUME)
        if any(item.kind == kind for item in resources)
    )
