"""docker.RemoteImage, a pulled image, and docker.Tag, another name of an image."""

from collections.abc import Mapping
from typing import Any

from plugins.bridge.schema import State
from plugins.bridge.state import from_pulumi, plan, refresh, settle, write
from plugins.docker.engine import Engine, EngineError, NotFoundError, engine_errors, failure
from plugins.docker.stream import Watch
from plugins.docker.tables import REMOTE_IMAGE, TAG
from plugins.protocol.messages import CreateRequest, CreateResponse, DeleteRequest, ReadRequest
from plugins.protocol.properties import Properties


def create(request: CreateRequest, engine: Engine, watch: Watch | None = None) -> CreateResponse:
    """Pull an image, unless the engine already has an image of this name."""
    planned = plan(request.properties, REMOTE_IMAGE.attributes)
    image = find(planned, engine, watch)
    state = settle(planned, _observe(image, planned["name"]), REMOTE_IMAGE.attributes)
    resource_id = image["Id"] + planned["name"]
    return CreateResponse(resource_id, write(resource_id, state, REMOTE_IMAGE, timeout=request.timeout))


def find(planned: State, engine: Engine, watch: Watch | None = None) -> Properties:
    """Return the image of a RemoteImage, and pull it first if the engine lacks it."""
    try:
        return engine.image(planned["name"], platform=planned["platform"], watch=watch)
    except EngineError as error:
        raise failure(f"Unable to read Docker image into resource: {error}") from error


def _observe(image: Mapping[str, Any], name: str) -> State:
    return {"imageId": image["Id"], "repoDigest": repo_digest(image, name)}


def repo_digest(image: Mapping[str, Any], name: str) -> str:
    """Return the digest of `image` in the repository of `name`; empty if the engine knows no digest."""
    digests: list[str] = image.get("RepoDigests") or []
    if name in digests:
        return name
    head, colon, tag = name.rpartition(":")
    repository = head if colon and "/" not in tag else name
    return next(
        (each for each in digests if each.startswith(f"{repository}@")), digests[0] if digests else ""
    )


def read(request: ReadRequest, engine: Engine) -> tuple[str, State] | None:
    """Return the image's id and state, or None if the engine does not have it any more."""
    name = request.properties.get("name", "")
    image = engine.local_image(name)
    if image is None:
        return None
    before = from_pulumi(request.properties, REMOTE_IMAGE.attributes)
    return image["Id"] + name, refresh(before, _observe(image, name), REMOTE_IMAGE.attributes)


def delete(request: DeleteRequest, engine: Engine) -> None:
    """Remove the image from the engine, unless `keepLocally` is set. It is no failure if it is already gone."""
    state = request.properties
    if state.get("keepLocally"):
        return
    try:
        with engine_errors():
            engine.client.remove_image(state["name"], force=bool(state.get("forceRemove")))
    except NotFoundError:
        return
    except EngineError as error:
        raise failure(f"Unable to remove Docker image: {error}") from error


def create_tag(request: CreateRequest, engine: Engine) -> CreateResponse:
    """Give an image another name."""
    planned = plan(request.properties, TAG.attributes)
    source, target = planned["sourceImage"], planned["targetImage"]
    repository, colon, tag = target.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = target, "latest"
    try:
        with engine_errors():
            engine.client.tag(source, repository, tag)
            image = engine.client.inspect_image(source)  # type: ignore[no-untyped-call]
    except (EngineError, NotFoundError) as error:
        raise failure(f"failed to create docker tag: {error}") from error
    state = settle(planned, {"sourceImageId": image["Id"]}, TAG.attributes)
    resource_id = f"{source}.{target}"
    return CreateResponse(resource_id, write(resource_id, state, TAG))


def read_tag(request: ReadRequest, engine: Engine) -> tuple[str, State]:
    """Return the tag's id and state; like the official plugin, without a request to the engine."""
    return request.id, from_pulumi(request.properties, TAG.attributes)
