"""docker.Volume."""

from collections.abc import Mapping
from typing import Any

from plugins.bridge.schema import State
from plugins.bridge.state import from_pulumi, plan, refresh, settle, write
from plugins.docker.engine import (
    Engine,
    EngineError,
    NotFoundError,
    engine_errors,
    failure,
    label_pairs,
    labels_of,
    retry_while,
)
from plugins.docker.tables import VOLUME
from plugins.protocol.messages import CreateRequest, CreateResponse, DeleteRequest, ReadRequest
from plugins.protocol.properties import Unknown


def create(request: CreateRequest, engine: Engine) -> CreateResponse:
    """Create a volume, or take over an existing one of the same name."""
    planned = plan(request.properties, VOLUME.attributes)
    given = {name: None if isinstance(value, Unknown) else value for name, value in planned.items()}
    try:
        with engine_errors():
            volume = engine.client.create_volume(
                given["name"],
                driver=given["driver"],
                driver_opts=given["driverOpts"],
                labels=labels_of(given["labels"]),
            )
    except (EngineError, NotFoundError) as error:
        raise failure(f"Unable to create volume: {error}") from error
    state = settle(planned, _observe(volume), VOLUME.attributes)
    return CreateResponse(volume["Name"], write(volume["Name"], state, VOLUME))


def _observe(volume: Mapping[str, Any]) -> State:
    return {
        "driver": volume["Driver"],
        "driverOpts": volume["Options"] or {},
        "labels": label_pairs(volume["Labels"]),
        "mountpoint": volume["Mountpoint"],
        "name": volume["Name"],
    }


def read(request: ReadRequest, engine: Engine) -> tuple[str, State] | None:
    """Return the volume's id and state, or None if it is gone."""
    try:
        with engine_errors():
            volume = engine.client.inspect_volume(request.id)
    except NotFoundError:
        return None
    before = from_pulumi(request.properties, VOLUME.attributes)
    return request.id, refresh(before, _observe(volume), VOLUME.attributes)


def delete(request: DeleteRequest, engine: Engine) -> None:
    """Remove the volume and its data when no container uses it any more. It is no failure if it is already gone."""
    try:
        retry_while("volume is in use", lambda: engine.client.remove_volume(request.id, force=True))
    except NotFoundError:
        return
    except EngineError as error:
        raise failure(f"Unable to remove volume: {error}") from error
