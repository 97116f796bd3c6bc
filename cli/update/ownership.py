"""Which resources on the operator's Docker Engine belong to a local stack, and which to another clone's.

The stack's name is not enough: every clone can have a stack `local`. So each resource has a label with the id of the
state that it was made from (`well_known.py`). Resources of older versions lack that label: they belong to the stack
whose state has them.
"""

import json
import shlex
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.deployment import CONTAINER_TYPE, NETWORK_TYPE, VOLUME_TYPE, Deployment
from cli.stack.project import write_private
from cli.stack.stack import Stack
from well_known import CLONE_LABEL, PROJECT_LABEL, STACK_LABEL, STATE_LABEL, TAKEN_NAME, state_id

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
UNKNOWN = datetime.max.replace(tzinfo=UTC)
"""The time of a volume whose driver does not say when it was created: later than any record."""


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
    created: datetime = UNKNOWN
    """When the volume was created."""
    volumes: frozenset[str] = frozenset()
    """The names of the volumes that the container mounts."""

    def __str__(self) -> str:
        """The resource in a message."""
        return f"{self.kind} {self.name}{', running' if self.running else ''}"


class Data(NamedTuple):
    """A volume that a stack owns although its label does not say so."""

    name: str
    state: str
    """The state in its label; empty for a volume of an older version."""
    created: datetime
    """The latest time at which it can have been created. A later volume of the same name is another one."""


@dataclass(frozen=True)
class Claim:
    """The evidence of which resources a stack has made."""

    states: frozenset[str] = frozenset()
    """The ids of the stack's current and former states."""
    made: frozenset[tuple[str, str]] = frozenset()
    """Kind and identifier of the resources in the current state."""
    data: frozenset[Data] = frozenset()
    """The volumes that are proven otherwise: by the record, or by the containers that mount them."""

    def covers(self, resource: Resource) -> bool:
        """Whether the stack made the resource.

        A state can have a volume of another state, since Docker returns the existing volume for the same name. The ids
        of containers and networks are never reused.
        """
        named = (resource.kind, resource.identifier) in self.made
        if resource.state in self.states or (named and (resource.kind != VOLUME or not resource.state)):
            return True
        return resource.kind == VOLUME and any(
            (data.name, data.state) == (resource.identifier, resource.state)
            and resource.created <= data.created
            for data in self.data
        )

    def __or__(self, other: "Claim") -> "Claim":
        """The evidence of both."""
        return Claim(self.states | other.states, self.made | other.made, self.data | other.data)


def claim_of(state: Deployment) -> Claim:
    """The evidence in a state."""
    states: set[str] = set()
    made: set[tuple[str, str]] = set()
    for resource in deployment.managed(state):
        kind: str = resource.get("type", "")
        if (kind, deployment.name_of(resource["urn"])) == SSH_KEY:
            key = (resource.get("outputs") or {}).get("publicKeyOpenssh")
            states |= {state_id(key)} if isinstance(key, str) else set()
        elif kind in KINDS and resource.get("id") and is_here(resource):
            made.add((KINDS[kind], resource["id"]))
    return Claim(frozenset(states), frozenset(made))


def is_here(resource: deployment.Resource) -> bool:
    """Whether a Docker resource is on the operator's engine, not on a host's."""
    return deployment.name_of(deployment.provider_urn(resource)) == OPERATOR_ENGINE


def claim(stack: Stack, resources: Collection[Resource] = (), state: Deployment | None = None) -> Claim:
    """The evidence in the stack's current and former states.

    Args:
        stack: the stack.
        resources: the engine's resources, if they may be evidence, too.
        state: the stack's current state, if it was read already.

    """
    if state is None:
        state = stack.deployment() if stack.exists() else {}
    present = claim_of(state)
    return present | _remembered(stack) | mounted(resources, present)


def mounted(resources: Collection[Resource], present: Claim) -> Claim:
    """The volumes of former states that containers of the present state mount.

    The record of the former states is missing if another clone, with the same backend, has made them. A volume whose
    state still has a container is not counted.
    """
    containers = [resource for resource in resources if resource.kind == CONTAINER]
    names = {name for container in containers if present.covers(container) for name in container.volumes}
    living = {container.state for container in containers}
    return Claim(
        data=frozenset(
            Data(resource.identifier, resource.state, resource.created)
            for resource in resources
            if resource.kind == VOLUME
            and resource.state not in living
            and resource.identifier in names
            and (VOLUME, resource.identifier) in present.made
        )
    )


def remember(
    stack: Stack,
    state: Deployment | None = None,
    *,
    resources: Collection[Resource] = (),
    adopted: Collection[str] = (),
    checked: bool = False,
) -> None:
    """Record the evidence of the stack's data: a `down` deletes the key in the state, and an `up` makes another one.

    Args:
        stack: the stack.
        state: its current state, if it was read already.
        resources: the engine's resources. Without them, only states are recorded.
        adopted: ids of other states whose resources the stack takes over.
        checked: whether `is_checked` holds from now on.

    """
    before = _remembered(stack)
    now = claim(stack, resources, stack.deployment() if state is None else state)
    states = now.states | frozenset(adopted)
    data = {
        Data(resource.identifier, resource.state, resource.created)
        for resource in resources
        if resource.kind == VOLUME
        and resource.state not in states
        and resource.created != UNKNOWN
        and now.covers(resource)
    }
    after = Claim(states, data=before.data | data)
    if after != before or checked != is_checked(stack):
        _write(stack, after, checked=checked)


def is_checked(stack: Stack) -> bool:
    """Whether an `up` of this clone succeeded, so that its containers hold the stack's name, and no `down` followed."""
    with suppress(OSError, ValueError, AttributeError):
        return json.loads(record(stack).read_text()).get("checked") is True
    return False


def forget(stack: Stack) -> None:
    """Delete what `remember` recorded, after the stack's resources are removed."""
    record(stack).unlink(missing_ok=True)


def other_states(stack: Stack) -> frozenset[str]:
    """The ids of states that this clone has in other backends or of other stacks, as far as it has recorded them."""
    own, found = record(stack), set()
    for path in own.parent.glob("*.json"):
        if path != own:
            with suppress(OSError, ValueError, KeyError, TypeError):
                found |= {str(state) for state in json.loads(path.read_text())["states"]}
    return frozenset(found)


def _write(stack: Stack, claimed: Claim, *, checked: bool) -> None:
    volumes = {
        data.name: {"state": data.state, "created": data.created.isoformat()}
        for data in sorted(claimed.data, key=lambda data: data.created)
    }
    content = {"states": sorted(claimed.states), "volumes": volumes, "checked": checked}
    write_private(record(stack), json.dumps(content) + "\n")


def _remembered(stack: Stack) -> Claim:
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(record(stack).read_text())
        data = (
            Data(name, volume["state"], datetime.fromisoformat(volume["created"]))
            for name, volume in content["volumes"].items()
        )
        return Claim(frozenset(content["states"]), data=frozenset(data))
    return Claim()


def record(stack: Stack) -> Path:
    """The file with what `remember` recorded."""
    # A file backend has one organization only, and its name may be left out.
    one = stack if stack.backend.directory is None else replace(stack, name=stack.short_name)
    return stack.project.private / "made" / f"{one.key}.json"


def found(engine: Any, stack: Stack) -> list[Resource]:
    """The engine's resources with the stack's project and name, from any clone."""
    wanted = {"label": [f"{PROJECT_LABEL}={stack.project.name}", f"{STACK_LABEL}={stack.short_name}"]}
    listed = [
        *(
            # A container that Docker could not remove completely has no name.
            _resource(
                CONTAINER, item, item["Id"], (item.get("Names") or [item["Id"][:12]])[0].removeprefix("/")
            )
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
        _moment(item.get("CreatedAt")),
        frozenset(mount["Name"] for mount in item.get("Mounts") or [] if mount.get("Name")),
    )


def _moment(text: object) -> datetime:
    """The time in a volume's `CreatedAt`."""
    with suppress(ValueError, TypeError):
        moment = datetime.fromisoformat(text)  # type: ignore[arg-type]
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return UNKNOWN


def foreign(resources: Iterable[Resource], ours: Claim) -> list[Resource]:
    """The resources that the stack did not make."""
    return [resource for resource in resources if not ours.covers(resource)]


def obstacles(
    resources: Collection[Resource], present: Claim, ours: Claim, root: Path
) -> tuple[list[Resource], set[str]]:
    """The resources of others that block a first `up`, and the ids of the states whose data the stack takes over.

    A clone takes over its own earlier resources, and volumes of older versions, unless a container uses them. The
    container of a former state is an obstacle: a `down` leaves none, so that state was lost, with the keys of the host.

    Args:
        resources: what the engine has.
        present: the evidence in the present state.
        ours: that of the former states as well.
        root: the clone's directory.

    """
    others = [
        resource
        for resource in resources
        if not (present if resource.kind == CONTAINER else ours).covers(resource)
    ]
    lives = {resource.state for resource in others if resource.kind == CONTAINER}
    adopted = {
        resource.state
        for resource in others
        if resource.state and resource.state not in lives and resource.clone == str(root)
    }
    return [
        resource for resource in others if (resource.state not in adopted if resource.state else "" in lives)
    ], adopted


def are_left_by_an_older_version(others: Collection[Resource], engine: Any) -> bool:
    """Whether these are unlabelled volumes that no container uses. A first `up` takes them over."""
    return all(
        item.kind == VOLUME
        and not item.state
        and not engine.containers(all=True, filters={"volume": [item.name]})
        for item in others
    )


def refusal_of_purge(stack: Stack, others: Collection[Resource], ours: Claim) -> CommandError:
    """The error of a `down --purge` that would remove another stack's resources."""
    lives = {item.state for item in others if item.kind == CONTAINER}
    named = [item for item in others if (item.kind, item.identifier) in ours.made and item.state not in lives]
    first = (
        "Some are volumes that this stack's state names. If they are its own, and only its record in .slipway/made "
        f"is missing: `{_commands(named)}` removes them with their data.\n"
        if named
        else ""
    )
    return CommandError(
        f"resources of a stack '{stack.name}' on this machine are not from this stack's state, so nothing was "
        f"removed:{listed(others)}",
        first + _way_out(stack, others),
    )


def refusal_of_up(stack: Stack, others: Collection[Resource]) -> CommandError:
    """The error of a first `up` while another clone's stack has the same name."""
    refused = f"{TAKEN_NAME.format(stack=stack.name)}{listed(others)}"
    if number := stack.config.pull_request:
        return CommandError(
            refused,
            f"A machine has one review environment of pull request {number}. To update that one, run "
            f"`./slip review open {number}` with the backend that opened it.\n{_way_out(stack, others)}",
        )
    if all(item.clone == str(stack.project.root) for item in others):
        return CommandError(refused, _way_out(stack, others))
    file, other = stack.project.config_file, stack.short_name
    other = next(name for number in range(2, 1000) if not file(name := f"{other}-{number}").exists())
    return CommandError(
        refused,
        f"Give this stack another name: `cp {stack.config_file.name} {file(other).name}`, set "
        f"slipway:platform.portOffset in that file to another multiple of 100, and run `./slip up -s {other}`.\n"
        + _way_out(stack, others),
    )


def listed(others: Collection[Resource]) -> str:
    """A line for each resource, with the clone that made it."""
    return "".join(
        f"\n  {resource}, of {f'the clone {resource.clone}' if resource.clone else 'an older version'}"
        for resource in others
    )


def _way_out(stack: Stack, others: Collection[Resource]) -> str:
    """How to remove the others' resources: in the clone with their state, or by hand if the state is lost."""
    root, number = str(stack.project.root), stack.config.pull_request
    purge = f"./slip review close {number}" if number else f"./slip down --purge{stack.option}"
    clones = sorted({item.clone for item in others if item.clone not in {"", root}})
    living = [clone for clone in clones if Path(clone).is_dir()]
    lines = [
        f"To remove those of {clone} with their data: `cd {shlex.quote(clone)} && {purge}`."
        for clone in living
    ]
    if own := [item for item in others if item.clone == root]:
        lines.append(
            f"{'Some' if len(own) < len(others) else 'They'} are from another state of this clone, in another backend "
            f"or lost. If it is lost: {_from_backup(stack)}`./slip down --without-state{stack.option}` removes them "
            "with the data of the services on them, and keeps the registry's images for the next "
            f"`./slip up{stack.option}`; with --purge it removes these, too."
        )
    if gone := [item for item in others if item.clone in set(clones) - set(living)]:
        lines.append(f"Some are from a deleted clone: `{_commands(gone)}` removes them with their data.")
    if old := [item for item in others if not item.clone]:
        lines.append(
            f"Some are from an older version: if another clone has their state, `./slip down --purge{stack.option}` "
            f"in that clone removes them. If none has, `{_commands(old)}` removes them with their data."
        )
    return "\n".join(lines)


def _from_backup(stack: Stack) -> str:
    if not stack.config.setting("stateBackup"):
        return ""
    return f"`./slip restore state{stack.option}` brings it back from its backup. Without one, "


def _commands(resources: Collection[Resource]) -> str:
    """The `docker` commands that remove the resources."""
    options = {CONTAINER: "rm --force", NETWORK: "network rm", VOLUME: "volume rm"}
    return " && ".join(
        f"docker {options[kind]} {' '.join(shlex.quote(item.name) for item in resources if item.kind == kind)}"
        for kind in (CONTAINER, NETWORK, VOLUME)
        if any(item.kind == kind for item in resources)
    )
