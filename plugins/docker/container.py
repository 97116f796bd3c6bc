"""docker.Container: create, read, update and delete."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event

from plugins.bridge.schema import State
from plugins.bridge.state import from_pulumi, plan, refresh, settle, write
from plugins.docker.container_config import (
    change,
    creation,
    endpoint,
    leaves_default_network,
    upload_archive,
)
from plugins.docker.container_schema import CONTAINER
from plugins.docker.container_state import observe
from plugins.docker.engine import Engine, EngineError, NotFoundError, engine_errors, failure
from plugins.protocol.messages import (
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    Failure,
    InitFailure,
    ReadRequest,
    UpdateRequest,
)
from plugins.protocol.properties import Properties, Unknown

UPDATED_IN_PLACE = frozenset(
    {
        *("cpuPeriod", "cpuQuota", "cpuSet", "cpuShares"),
        *("memory", "memoryReservation", "memorySwap"),
        *("maxRetryCount", "restart"),
    }
)
"""The properties that the engine can change on a running container."""

POLL_SECONDS = 0.1
"""Seconds between two looks at a container while waiting for it."""


def create(request: CreateRequest, engine: Engine, cancelled: Event) -> CreateResponse:
    """Create and start a container.

    Failure if it cannot be created; nothing is left then. InitFailure if it exists, but did not start or did not become
    healthy.
    """
    planned = plan(request.properties, CONTAINER.attributes)
    container_id = _make(planned, engine)
    try:
        _set_up(container_id, planned, engine)
    except Failure:
        # An incomplete container would keep its name in use.
        with suppress(EngineError, NotFoundError), engine_errors():
            engine.client.remove_container(container_id, v=True, force=True)
        raise
    try:
        container = _run(container_id, planned, engine, cancelled)
    except Failure as error:
        properties = write(container_id, _without_unknown(planned), CONTAINER, timeout=request.timeout)
        raise InitFailure(container_id, properties, [f"creating {request.urn}: {error}"]) from error
    observed = observe(container, planned)
    if not planned["start"]:
        # A container that is not started publishes no ports; the program's are no difference.
        observed["ports"] = _without_unknown({"ports": planned["ports"]})["ports"]
    state = settle(planned, {**observed, "exitCode": None}, CONTAINER.attributes)
    return CreateResponse(container_id, write(container_id, state, CONTAINER, timeout=request.timeout))


def _run(container_id: str, state: State, engine: Engine, cancelled: Event) -> Properties:
    """Start the container and wait for its health, if `state` says so; return the engine's description of it."""
    if state["start"]:
        with _step("Unable to start container"):
            engine.client.start(container_id)
        if state["wait"]:
            _wait_until_healthy(container_id, state["waitTimeout"], engine, cancelled)
    with _step("Unable to inspect container"):
        return dict(engine.client.inspect_container(container_id))


def _without_unknown(planned: State) -> State:
    """Return the known part of `planned`: the state of a container that did not start."""
    state: State = {}
    for name, value in planned.items():
        if isinstance(value, Unknown):
            state[name] = [] if CONTAINER.attributes[name].shape == "set" else None
        elif name == "ports":
            state[name] = [
                {**port, "external": None if isinstance(port["external"], Unknown) else port["external"]}
                for port in value
            ]
        else:
            state[name] = value
    return state


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Put `what` failed before the engine's own error text."""
    try:
        with engine_errors():
            yield
    except (EngineError, NotFoundError, ValueError, OSError) as error:
        raise failure(f"{what}: {error}") from error


def _make(planned: State, engine: Engine) -> str:
    try:
        engine.image(planned["image"])
    except EngineError as error:
        raise failure(f"Unable to create container with image {planned['image']}: {error}") from error
    with _step("Unable to create container"):
        made = engine.client.create_container_from_config(  # type: ignore[no-untyped-call]
            creation(planned), planned["name"]
        )
    return str(made["Id"])


def _set_up(container_id: str, planned: State, engine: Engine) -> None:
    """Connect the container to its networks and upload its files, before it starts."""
    client = engine.client
    if leaves_default_network(planned):
        with _step("Unable to disconnect the default network"):
            client.disconnect_container_from_network(container_id, "bridge")
    for network in planned["networksAdvanced"]:
        with _step(f"Unable to connect to network '{network['name']}'"):
            _connect(container_id, network, engine)
    if planned["uploads"]:
        with _step("Unable to upload volume content"):
            client.put_archive(container_id, "/", upload_archive(planned["uploads"]))


def _connect(container_id: str, network: Properties, engine: Engine) -> None:
    client, settings = engine.client, endpoint(network)
    addresses = settings.get("IPAMConfig", {})
    client.connect_container_to_network(
        container_id,
        network["name"],
        aliases=settings.get("Aliases"),
        ipv4_address=addresses.get("IPv4Address"),
        ipv6_address=addresses.get("IPv6Address"),
        link_local_ips=addresses.get("LinkLocalIPs"),
        driver_opt=settings.get("DriverOpts"),
        mac_address=settings.get("MacAddress"),
    )


def _wait_until_healthy(container_id: str, seconds: int, engine: Engine, cancelled: Event) -> None:
    """Wait for the container's health check; Failure if it fails, the container exits, or it takes over `seconds`."""
    until = time.monotonic() + seconds
    while True:
        with _step("Error inspecting container state"):
            now = engine.client.inspect_container(container_id)["State"]
        health = now.get("Health")
        if health is None:
            raise failure(
                "'wait' is set, but the container has no health check to wait for: give it one, or leave `wait` out"
            )
        if health["Status"] == "healthy":
            return
        problem = _why_not_healthy(now, health)
        if problem is None and cancelled.is_set():
            problem = "the update was cancelled while it waited for the container to become healthy"
        if problem is None and time.monotonic() > until:
            problem = f"Container is unhealthy: it did not become healthy within {seconds} seconds"
        if problem is not None:
            raise failure(problem + _last_output(container_id, health, engine))
        time.sleep(POLL_SECONDS)


def _why_not_healthy(now: Properties, health: Properties) -> str | None:
    if now["Status"] in ("exited", "dead"):
        return f"Container is unhealthy: it exited with code {now['ExitCode']}"
    return "Container is unhealthy" if health["Status"] == "unhealthy" else None


def _last_output(container_id: str, health: Properties, engine: Engine) -> str:
    checks = [entry["Output"].strip() for entry in health.get("Log") or [] if entry["Output"].strip()]
    with engine_errors():
        logs = engine.client.logs(container_id, tail=10).decode(errors="replace").strip()
    said = f"; the last health check's output: {checks[-1]}" if checks else ""
    return f"{said}\nThe container's last log lines:\n{logs}" if logs else said


def read(request: ReadRequest, engine: Engine) -> tuple[str, State] | None:
    """Return the container's id and state, or None if it is gone.

    For a stopped container `mustRun` becomes false, so that the next update starts it.
    """
    try:
        with engine_errors():
            container = engine.client.inspect_container(request.id)
    except NotFoundError:
        return None
    before = from_pulumi(request.properties, CONTAINER.attributes)
    state = refresh(before, observe(container, before), CONTAINER.attributes)
    if not container["State"]["Running"] and state["mustRun"]:
        state["mustRun"] = False
    return str(container["Id"]), state


def update(request: UpdateRequest, now: State, changed: set[str], engine: Engine, cancelled: Event) -> State:
    """Change a container in place to `now`, and return its state.

    InitFailure if it had stopped, or had never started, and does not start now.
    """
    if changed & UPDATED_IN_PLACE:
        with _step("Unable to update a container"):
            _post_update(request.id, now, engine)
    # Pulumi updates a resource without a change if its last creation or update ended with an InitFailure.
    if changed and not ("mustRun" in changed and now["mustRun"]):
        return now
    try:
        container = _run(request.id, now, engine, cancelled)
    except Failure as error:
        properties = write(request.id, now, CONTAINER, timeout=request.timeout)
        raise InitFailure(request.id, properties, [f"updating {request.urn}: {error}"]) from error
    return refresh(now, observe(container, now), CONTAINER.attributes)


def _post_update(container_id: str, now: State, engine: Engine) -> None:
    body = change(now)
    engine.client.update_container(
        container_id,
        cpu_period=body["CpuPeriod"],
        cpu_quota=body["CpuQuota"],
        cpu_shares=body["CpuShares"],
        cpuset_cpus=body["CpusetCpus"],
        mem_limit=body["Memory"],
        mem_reservation=body["MemoryReservation"],
        memswap_limit=body["MemorySwap"],
        restart_policy=body["RestartPolicy"],
    )


def delete(request: DeleteRequest, engine: Engine) -> None:
    """Stop the container, if it has a grace period, and remove it. It is no failure if it is already gone."""
    container_id, state = request.id, request.properties
    try:
        grace = state.get("destroyGraceSeconds") or 0
        with engine_errors():
            if grace > 0:
                engine.client.stop(container_id, timeout=int(grace))
            engine.client.remove_container(container_id, v=bool(state.get("removeVolumes", True)), force=True)
    except NotFoundError:
        return
    except EngineError as error:
        if "is already in progress" not in str(error):
            raise failure(f"Error deleting container {container_id}: {error}") from error
    _wait_until_gone(container_id, engine)


def _wait_until_gone(container_id: str, engine: Engine) -> None:
    """Wait until the engine has removed the container, so that its name and ports are free."""
    try:
        with engine_errors():
            while True:
                engine.client.inspect_container(container_id)
                time.sleep(POLL_SECONDS)
    except NotFoundError:
        return
    except EngineError as error:
        raise failure(f"Error waiting for container removal '{container_id}': {error}") from error
