"""Which resources of the operator's Docker Engine a local stack has made, and which are another clone's.

A stack's name does not tell: every clone can have a stack `local`. Each resource is labelled with the id of the state
that it was made from (`well_known.py`). Resources of older versions have no such label: they belong to the
stack whose state names them.
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
from cli.stack.deployment import Deployment
from cli.stack.project import write_private
from cli.stack.stack import Stack
from well_known import CLONE_LABEL, PROJECT_LABEL, STACK_LABEL, STATE_LABEL, state_id

CONTAINER, NETWORK, VOLUME = "container", "network", "volume"
KINDS = {
    "docker:index/container:Container": CONTAINER,
    "docker:index/network:Network": NETWORK,
    "docker:index/volume:Volume": VOLUME,
}
"""The kinds of resources that a stack makes on the operator's engine, by their Pulumi type."""
OPERATOR_ENGINE = "operator-engine"
"""The provider of the operator's engine, as `components/hosts/local.py` names it."""
SSH_KEY = "tls:index/privateKey:PrivateKey", "ssh-key"
"""Type and name of the resource whose public key identifies the state."""


@dataclass(frozen=True)
class Resource:
    """A container, a network or a volume that is labelled with the stack's project and name."""

    kind: str
    identifier: str
    """As in Pulumi's state: the engine's id, or a volume's name."""
    name: str
    state: str = ""
    """The id of the state that it was made from; empty if an older version made it."""
    clone: str = ""
    """The directory of the clone that made it; empty if an older version made it."""
    running: bool = False

    def __str__(self) -> str:
        """As people read it."""
        return f"{self.kind} {self.name}{', running' if self.running else ''}"


@dataclass(frozen=True)
class Claim:
    """What a stack can prove to have made."""

    states: frozenset[str] = frozenset()
    """The ids of its state and of its former ones."""
    made: frozenset[tuple[str, str]] = frozenset()
    """Kind and identifier of what its state names, and of the volumes that its former ones named."""

    def covers(self, resource: Resource) -> bool:
        """Whether the stack made this.

        A state can name a volume of another state, since Docker gives back the same volume for the same name. The ids
        of containers and networks are never used again.
        """
        named = (resource.kind, resource.identifier) in self.made
        if resource.state:
            return resource.state in self.states or (named and resource.kind != VOLUME)
        return named

    def __or__(self, other: "Claim") -> "Claim":
        """Both."""
        return Claim(self.states | other.states, self.made | other.made)


def claim_of(state: Deployment) -> Claim:
    """What a state proves."""
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
    """Whether a Docker resource is on the operator's engine, and not on a host's."""
    return deployment.name_of(deployment.provider_urn(resource)) == OPERATOR_ENGINE


def claim(stack: Stack) -> Claim:
    """What the stack's present state and its former ones prove."""
    present = claim_of(stack.deployment()) if stack.exists() else Claim()
    return present | _remembered(stack)


def remember(stack: Stack, state: Deployment | None = None, *, adopted: Collection[str] = ()) -> None:
    """Keep what proves that the stack made its data: a `down` deletes the key, and the next `up` makes another one.

    Args:
        stack: the stack.
        state: its present state, if it is known already.
        adopted: ids of other states whose resources are the stack's from now on.

    """
    now = claim_of(stack.deployment() if state is None else state)
    before = _remembered(stack)
    volumes = frozenset(pair for pair in now.made if pair[0] == VOLUME)
    after = before | Claim(now.states | frozenset(adopted), volumes)
    if after != before:
        content = {"states": sorted(after.states), "volumes": sorted(name for _, name in after.made)}
        write_private(_record(stack), json.dumps(content) + "\n")


def forget(stack: Stack) -> None:
    """Drop what `remember` kept, once nothing of the stack is left."""
    _record(stack).unlink(missing_ok=True)


def _remembered(stack: Stack) -> Claim:
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(_record(stack).read_text())
        return Claim(frozenset(content["states"]), frozenset((VOLUME, name) for name in content["volumes"]))
    return Claim()


def _record(stack: Stack) -> Path:
    return stack.project.private / "made" / f"{stack.key}.json"


def found(engine: Any, stack: Stack) -> list[Resource]:
    """All that the engine has under the stack's project and name, whichever clone made it."""
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
    """Those that the stack did not make."""
    return [resource for resource in resources if not ours.covers(resource)]


def in_the_way(resources: Collection[Resource], ours: Claim, root: Path) -> tuple[list[Resource], set[str]]:
    """What of others forbids a first `up`, and the ids of the states whose data it takes over.

    A clone takes over what it has left itself, and volumes of older versions, as long as no container needs them.
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
    """Why `down --purge` removes nothing."""
    return CommandError(
        f"the stack '{stack.name}' of this clone did not make all that has its name on this machine, so "
        f"nothing was removed. Not its own:{_listed(others)}",
        _way_out(stack, others),
    )


def refusal_of_up(stack: Stack, others: Collection[Resource]) -> CommandError:
    """Why a first `up` makes nothing."""
    file, other = stack.project.config_file, stack.short_name
    other = next(name for number in range(2, 1000) if not file(name := f"{other}-{number}").exists())
    return CommandError(
        f"this machine has a stack '{stack.name}' already, made from another state, so nothing was made:"
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
    """How to remove what others have made: where its state is, or by hand where there is no state any more."""
    root = str(stack.project.root)
    clones = sorted({item.clone for item in others if item.clone not in {"", root}})
    living = [clone for clone in clones if Path(clone).is_dir()]
    lines = [
        f"To remove what is of {clone}, data and all: `cd {shlex.quote(clone)} && ./slip down --purge{stack.option}`."
        for clone in living
    ]
    if own := [item for item in others if item.clone == root]:
        lines.append(
            f"This clone has made some of it from a state that is lost, or in another backend. If it is lost: "
            f"`{_commands(own)}` removes that, data and all."
        )
        if containers := [item for item in own if item.kind == CONTAINER]:
            lines.append(
                f"To keep the registry's images: `{_commands(containers)} && ./slip up{stack.option}`."
            )
    if gone := [item for item in others if item.clone in set(clones) - set(living)]:
        lines.append(
            f"A clone that is gone has made some of it: `{_commands(gone)}` removes that, data and all."
        )
    if old := [item for item in others if not item.clone]:
        lines.append(
            f"What an older version has made, `./slip down --purge{stack.option}` removes in the clone that made it. "
            f"Where that is gone, `{_commands(old)}` does, data and all."
        )
    return "\n".join(lines)


def _commands(resources: Collection[Resource]) -> str:
    """Docker's commands that remove these."""
    options = {CONTAINER: "rm --force", NETWORK: "network rm", VOLUME: "volume rm"}
    return " && ".join(
        f"docker {options[kind]} {' '.join(shlex.quote(item.name) for item in resources if item.kind == kind)}"
        for kind in (CONTAINER, NETWORK, VOLUME)
        if any(item.kind == kind for item in resources)
    )
