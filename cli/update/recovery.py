"""Cleans up after a killed update, so that the next one needs no manual unlocking.

A killed update leaves up to three things: the marker that `slip` writes while an update runs, the backend's lock, and
pending operations in the state, which had begun and not ended.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.stack import deployment, processes
from cli.stack.backend import Lock
from cli.stack.deployment import Deployment, Resource, name_of
from cli.stack.project import write_private
from cli.stack.stack import Stack

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"

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


PLUGINS_PATIENCE = 10.0
"""Seconds that a killed CLI's plugins have to end."""
ENGINE_PATIENCE = 2.0
"""Seconds that an engine may take to finish a killed plugin's request; creating takes some tenths of a second."""


@dataclass(frozen=True)
class Marker:
    """The record of an update that runs on this machine, or was killed."""

    slip: int
    """Process id of the command."""
    pulumi: int
    """Process id of its Pulumi CLI; 0 before the CLI starts."""
    host: str
    started: str
    """When, in ISO 8601."""
    command: str

    @property
    def since(self) -> datetime:
        """When the update started."""
        return datetime.fromisoformat(self.started)

    @classmethod
    def read(cls, stack: Stack) -> "Marker | None":
        """The marker of a stack, if there is one."""
        try:
            return cls(**json.loads(stack.project.marker(stack.short_name).read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            # Written by another version, or only in part: an update was killed, and no more is known.
            return cls(0, 0, socket.gethostname(), processes.now().isoformat(), "update")

    def write(self, stack: Stack) -> None:
        """Write the marker file."""
        write_private(stack.project.marker(stack.short_name), json.dumps(asdict(self)) + "\n")


def mark(stack: Stack, command: str, pid: int = 0) -> None:
    """Mark an update as running, with the CLI's process id once it is known."""
    Marker(os.getpid(), pid, socket.gethostname(), processes.now().isoformat(), command).write(stack)


def unmark(stack: Stack) -> None:
    """Remove the marker: the update ended, successfully or not. A killed update stays marked."""
    stack.project.marker(stack.short_name).unlink(missing_ok=True)


def recover(stack: Stack) -> bool:
    """Clean up after a killed update. Returns whether the next update needs `--refresh`.

    With a file backend this also detects a killed plain `pulumi up`; with another backend, only the marker counts. If
    no update was killed, this reads two files.

    Raises:
        CommandError: another update runs, or another machine holds the lock.

    """
    marker = Marker.read(stack)
    if marker:
        _wait_for_orphan(stack, marker)
    locks = stack.locks()
    for lock in locks:
        _refuse_live(stack, lock)
    if locks or (marker and stack.backend.directory is None):
        console.say(f"The last update of {stack.name} was killed: releasing its lock.")
        stack.pulumi.attempt("cancel", "--stack", stack.name, "--yes")
    # Without a state file, reading the state takes a third of a second, so only do it after a killed update.
    look = marker or stack.backend.directory is not None
    pending = deployment.pending_operations(stack.deployment()) if look else []
    refresh = False
    if pending:
        _wait_for_plugins(stack)
        refresh = _settle(stack)
    unmark(stack)
    return refresh


def _wait_for_orphan(stack: Stack, marker: Marker) -> None:
    """Refuse while the marked update runs. If only `slip` was killed, wait until its Pulumi CLI has ended."""
    if marker.host != socket.gethostname():
        return  # written on another machine, or before a rename: its process ids mean nothing here
    if processes.is_running(marker.slip, "-m cli"):
        raise _busy(stack, marker.slip, marker.since)
    if processes.is_running(marker.pulumi, "pulumi"):
        console.say(
            f"The Pulumi CLI of a killed update of {stack.name} still runs (process {marker.pulumi}): "
            "waiting for its end."
        )
        while processes.is_running(marker.pulumi, "pulumi"):
            time.sleep(0.2)


def _wait_for_plugins(stack: Stack) -> None:
    """Wait until the plugins of a killed CLI have ended: until then they may still create resources.

    They notice the CLI's end within a second. Plugins of a running update have a CLI as parent, and do not count.
    """
    home = stack.added_variables.get("PULUMI_HOME", "")
    deadline = time.monotonic() + PLUGINS_PATIENCE
    while home and time.monotonic() < deadline:
        running = processes.everything()
        parents = {pid for pid, process in running.items() if "pulumi" in process.command}
        if not any(
            f"{home}/" in process.command and process.parent not in parents for process in running.values()
        ):
            return
        time.sleep(0.1)


def _refuse_live(stack: Stack, lock: Lock) -> None:
    if lock.host != socket.gethostname():
        raise CommandError(
            f"the stack '{stack.name}' was locked on the machine {lock.host} at {lock.since:%Y-%m-%d %H:%M} UTC",
            f'If no update runs there: eval "$(./slip env{stack.option})" && pulumi cancel -s {stack.name}',
        )
    if processes.is_running(lock.pid, "pulumi"):
        raise _busy(stack, lock.pid, lock.since)


def _busy(stack: Stack, pid: int, since: datetime) -> CommandError:
    return CommandError(
        f"another update of the stack '{stack.name}' runs: process {pid}, since {since.astimezone():%H:%M:%S}",
        "Wait until it ends, or interrupt it in its terminal.",
    )


def _settle(stack: Stack) -> bool:
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
    if kind not in {CONTAINER, NETWORK}:
        return "it may exist although it is not in the state. Look for it, and remove it if it exists.", False
    inputs = deployment.plain(resource.get("inputs") or {})
    name = inputs.get("name")
    labels = {entry["label"]: entry["value"] for entry in inputs.get("labels") or ()}
    if not isinstance(name, str):
        return "it has no name to look for. Remove it by hand if it exists.", False
    known = {other["id"] for other in deployment.resources(state) if other.get("id")}
    from cli.running.engine import ERRORS

    try:
        return _remove_orphan(engines.of(resource), kind, name, labels, known), True
    except ERRORS as error:
        return f"its engine does not answer ({error}). If {name} exists there, remove it by hand.", False


def _remove_orphan(
    engine: Any, kind: str, name: str, labels: Mapping[str, str], known: Collection[str]
) -> str:
    """Remove the container or network with this name and these labels, if it is not in the state. Returns a message."""

    def orphaned() -> list[str]:
        if kind == CONTAINER:
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
        if kind == CONTAINER:
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
            one of cli.running.engine.ERRORS: the engine does not answer.

        """
        from cli.running.engine import connected

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
