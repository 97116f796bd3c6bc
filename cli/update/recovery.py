"""What a killed update leaves behind, and how the next one gets rid of it without anybody unlocking anything.

Three things can be left over: the marker that we write while an update runs, the backend's lock, and in the state the
operations that had begun and not ended.
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
"""Types whose creation, if it is done again, does no harm: nothing outside the state, the same again, or idempotent
scripts. A volume is never removed: Docker gives back the same one for the same name."""


PLUGINS_PATIENCE = 10.0
"""Seconds that the plugins of a killed CLI have to end."""
ENGINE_PATIENCE = 2.0
"""Seconds that an engine may take to finish what a killed plugin asked it for; creating takes some tenths of one."""


@dataclass(frozen=True)
class Marker:
    """Says that an update of a stack runs on this machine, or was killed."""

    slip: int
    """Process id of the command."""
    pulumi: int
    """Process id of its Pulumi CLI, 0 before that started."""
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
            # Killed while it was written, or of another version: it says that something was killed, no more.
            return cls(0, 0, socket.gethostname(), processes.now().isoformat(), "update")

    def write(self, stack: Stack) -> None:
        """Put it in its place."""
        write_private(stack.project.marker(stack.short_name), json.dumps(asdict(self)) + "\n")


def mark(stack: Stack, command: str, pid: int = 0) -> None:
    """Mark an update as running, with the CLI's process id once that is known."""
    Marker(os.getpid(), pid, socket.gethostname(), processes.now().isoformat(), command).write(stack)


def unmark(stack: Stack) -> None:
    """Say that the update ended by itself, well or not. One that was killed stays marked."""
    stack.project.marker(stack.short_name).unlink(missing_ok=True)


def recover(stack: Stack) -> bool:
    """Clear up after a killed update. Returns whether the next one should look at what is really there (`--refresh`).

    With a file backend this also notices a killed plain `pulumi up`; with another one it goes by our marker. Where
    nothing was killed it reads two files.

    Raises:
        CommandError: another update runs, or a lock is another machine's.

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
    # Without a file to read, the export costs a third of a second, so it needs a reason.
    look = marker or stack.backend.directory is not None
    pending = deployment.pending_operations(stack.deployment()) if look else []
    refresh = False
    if pending:
        _wait_for_plugins(stack)
        refresh = _settle(stack)
    unmark(stack)
    return refresh


def _wait_for_orphan(stack: Stack, marker: Marker) -> None:
    """Refuse while the marked update runs; if only our own part of it was killed, wait until Pulumi has ended."""
    if marker.host != socket.gethostname():
        return  # the clone came from elsewhere, or the machine was renamed: no process of it lives here
    if processes.is_running(marker.slip, "-m cli"):
        raise _busy(stack, marker.slip, marker.since)
    if processes.is_running(marker.pulumi, "pulumi"):
        console.say(
            f"An update of {stack.name} whose command was killed still runs (process {marker.pulumi}): "
            "waiting for its end."
        )
        while processes.is_running(marker.pulumi, "pulumi"):
            time.sleep(0.2)


def _wait_for_plugins(stack: Stack) -> None:
    """Wait until the plugins of a killed CLI have ended: until then they may still be making something.

    They notice within a second. Plugins of updates that run have a CLI as their parent, so they do not count.
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
            f'If nothing runs there: eval "$(./slip env{stack.option})" && pulumi cancel -s {stack.name}',
        )
    if processes.is_running(lock.pid, "pulumi"):
        raise _busy(stack, lock.pid, lock.since)


def _busy(stack: Stack, pid: int, since: datetime) -> CommandError:
    return CommandError(
        f"another update of the stack '{stack.name}' runs: process {pid}, since {since.astimezone():%H:%M:%S}",
        "Wait for its end, or interrupt it where it runs.",
    )


def _settle(stack: Stack) -> bool:
    """Undo or drop what had begun. Returns whether a refresh is needed."""
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
                    tell(f"{label} was being made when the last update was killed: {message}")
            elif kind not in {"reading", "importing"}:
                console.say(f"{label} was interrupted while {kind}: this update looks at what is there.")
                refresh = True
    # Importing drops the pending operations. This export has its secrets encrypted.
    stack.import_state(stack.export())
    return refresh


def _undo_creation(resource: Resource, state: Deployment, engines: "Engines") -> tuple[str, bool]:
    """Remove what an interrupted creation may have made.

    Returns what was done (empty if nothing was to do), and whether nothing can be left over.
    """
    kind: str = resource["type"]
    if kind.startswith(WITHOUT_TRACE) or not resource.get("custom"):
        return "", True
    if kind not in {CONTAINER, NETWORK}:
        return "it may exist without Pulumi knowing of it. Look for it, and remove it if it is there.", False
    inputs = deployment.plain(resource.get("inputs") or {})
    name = inputs.get("name")
    labels = {entry["label"]: entry["value"] for entry in inputs.get("labels") or ()}
    if not isinstance(name, str):
        return "it has no name to look for. Remove it by hand if it is there.", False
    known = {other["id"] for other in deployment.resources(state) if other.get("id")}
    from cli.running.engine import ERRORS

    try:
        return _remove_orphan(engines.of(resource), kind, name, labels, known), True
    except ERRORS as error:
        return f"its engine could not be asked ({error}). If it is left there, remove {name} by hand.", False


def _remove_orphan(
    engine: Any, kind: str, name: str, labels: Mapping[str, str], known: Collection[str]
) -> str:
    """Remove the container or network of this name and these labels, unless the state knows it. Says what it did."""

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

    # An engine goes on with what it was asked for, whether whoever asked is still there or not.
    deadline = time.monotonic() + ENGINE_PATIENCE
    while not (orphans := orphaned()) and time.monotonic() < deadline:
        time.sleep(0.2)
    for identifier in orphans:
        if kind == CONTAINER:
            engine.remove_container(identifier, force=True)  # without `v`: no volume is ever removed
        else:
            engine.remove_network(identifier)
    return "removed what was there of it; this update makes it again." if orphans else ""


class Engines(contextlib.ExitStack):
    """The Docker Engines behind a state's Docker providers: connected when they are asked for, closed together."""

    def __init__(self, state: Deployment) -> None:
        """Engines of a state that was exported with its secrets."""
        super().__init__()
        self._state = state
        self._clients: dict[str, Any] = {}

    def of(self, resource: Resource) -> Any:
        """The engine that a resource lives on, as a client of the docker SDK.

        Raises:
            one of engines.ERRORS: it does not answer.

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
