"""The operations that a killed update left pending in the state: their resources are removed, or refreshed."""

import contextlib
import time
from collections.abc import Collection, Mapping
from typing import Any

from cli import console
from cli.running.engine import ERRORS, connected
from cli.stack import deployment
from cli.stack.deployment import CONTAINER_TYPE, NETWORK_TYPE, Deployment, Resource, name_of
from cli.stack.stack import Stack

WITHOUT_TRACE = (
    "tls:",
    "command:",
    "random:",
    "pulumi:",
    "docker:index/volume:",
    "docker:index/remoteImage:",
    "docker:index/image:",
    "docker:index/registryImage:",
)
"""Types that can safely be created again: they exist only in the state, or creating them is idempotent. A volume is
never removed: for the same name, Docker returns the same volume."""

ENGINE_PATIENCE = 2.0
"""Seconds that an engine may take to finish a killed plugin's request; creating takes some tenths of a second."""


def settle(stack: Stack) -> bool:
    """Undo or drop the pending operations. Returns whether a refresh is needed."""
    state = stack.export(show_secrets=True)["deployment"]
    refresh = False
    with Engines(state) as engines:
        for operation in deployment.pending_operations(state):
            resource, kind = operation["resource"], operation["type"]
            label = f"{resource['type'].rpartition(':')[2]} {name_of(resource['urn'])}"
            if kind == "creating":
                message, certain = _undo_creation(resource, state, engines)
                refresh = refresh or not certain
                if message:
                    tell = console.say if certain else console.warn
                    tell(f"{label} was being created when the last update was killed: {message}")
            elif kind not in {"reading", "importing"}:
                console.say(f"{label} was interrupted while {kind}: this update refreshes it.")
                refresh = True
    # The import drops the pending operations. This export has encrypted secrets.
    stack.import_state(stack.export())
    return refresh


def _undo_creation(resource: Resource, state: Deployment, engines: "Engines") -> tuple[str, bool]:
    """Remove the resource that an interrupted creation may have made.

    Returns what was done (empty for nothing), and whether it is certain that nothing is left over.
    """
    kind: str = resource["type"]
    if kind.startswith(WITHOUT_TRACE) or not resource.get("custom"):
        return "", True
    if kind not in {CONTAINER_TYPE, NETWORK_TYPE}:
        return "it may exist although it is not in the state. Look for it, and remove it if it exists.", False
    inputs = deployment.plain(resource.get("inputs") or {})
    name = inputs.get("name")
    labels = {entry["label"]: entry["value"] for entry in inputs.get("labels") or ()}
    if not isinstance(name, str):
        return "it has no name to look for. Remove it by hand if it exists.", False
    known = {other["id"] for other in deployment.resources(state) if other.get("id")}
    try:
        return _remove_orphan(engines.of(resource), kind, name, labels, known), True
    except ERRORS as error:
        return f"its engine does not answer ({error}). If {name} exists there, remove it by hand.", False


def _remove_orphan(
    engine: Any, kind: str, name: str, labels: Mapping[str, str], known: Collection[str]
) -> str:
    """Remove the container or network with this name and these labels, if it is not in the state. Returns a message."""

    def orphaned() -> list[str]:
        if kind == CONTAINER_TYPE:
            found = [
                item
                for item in engine.containers(all=True, filters={"name": name})
                if f"/{name}" in item["Names"]
            ]
        else:
            found = [item for item in engine.networks(names=[name]) if item["Name"] == name]
        return [
            item["Id"]
            for item in found
            if item["Id"] not in known and labels.items() <= (item.get("Labels") or {}).items()
        ]

    # An engine finishes a request even if its client is gone.
    deadline = time.monotonic() + ENGINE_PATIENCE
    while not (orphans := orphaned()) and time.monotonic() < deadline:
        time.sleep(0.2)
    for identifier in orphans:
        if kind == CONTAINER_TYPE:
            engine.remove_container(identifier, force=True)  # without `v`: no volume is ever removed
        else:
            engine.remove_network(identifier)
    return "it was removed, and this update creates it again." if orphans else ""


class Engines(contextlib.ExitStack):
    """The Docker Engines of a state's Docker providers: connected on first use, closed together."""

    def __init__(self, state: Deployment) -> None:
        """For a state that was exported with its secrets."""
        super().__init__()
        self._state = state
        self._clients: dict[str, Any] = {}

    def of(self, resource: Resource) -> Any:
        """A client of the engine that a resource is on.

        Raises:
            one of ERRORS: the engine does not answer.

        """
        urn = deployment.provider_urn(resource)
        if urn not in self._clients:
            provider = next(
                (
                    other
                    for other in deployment.resources(self._state)
                    if other["urn"] == urn and not other.get("delete")
                ),
                {},
            )
            inputs = deployment.plain(provider.get("inputs") or {})
            self._clients[urn] = self.enter_context(
                connected(
                    inputs.get("host") or "",
                    ca=inputs.get("caMaterial") or "",
                    certificate=inputs.get("certMaterial") or "",
                    key=inputs.get("keyMaterial") or "",
                    timeout=10,
                )
            )
        return self._clients[urn]
