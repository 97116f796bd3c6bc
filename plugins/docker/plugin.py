"""The plugin: the provider's own configuration, and the module for each type of resource."""

import json
from collections.abc import Callable
from typing import NamedTuple

from plugins.bridge import inputs
from plugins.bridge.differences import compare, property_changes
from plugins.bridge.schema import Schema, State
from plugins.bridge.state import plan, to_pulumi, updated, write, write_preview
from plugins.docker.container_schema import CONTAINER
from plugins.docker.engine import Engine, EngineError
from plugins.docker.stream import Watch
from plugins.docker.tables import NETWORK, REMOTE_IMAGE, TAG, VOLUME
from plugins.protocol.messages import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    Failure,
    Features,
    InvokeRequest,
    InvokeResponse,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)
from plugins.protocol.properties import Properties, Secret, has_unknown, plain
from plugins.protocol.provider import Provider

SETTINGS = frozenset(
    {
        *("caMaterial", "certMaterial", "keyMaterial", "certPath"),
        *("disableDockerDaemonCheck", "host", "registryAuth", "version"),
    }
)
"""The settings of a docker.Provider that this plugin supports."""

_REMEDY = "leave it out, or use the official plugin"

IMAGE = "docker:index/image:Image"

SCHEMAS: dict[str, Schema] = {
    "docker:index/container:Container": CONTAINER,
    "docker:index/network:Network": NETWORK,
    "docker:index/remoteImage:RemoteImage": REMOTE_IMAGE,
    "docker:index/tag:Tag": TAG,
    "docker:index/volume:Volume": VOLUME,
}


class Operations(NamedTuple):
    """The operations of a type of resource on an engine."""

    create: Callable[[CreateRequest, Engine], CreateResponse]
    read: Callable[[ReadRequest, Engine], tuple[str, State] | None]
    update: Callable[[UpdateRequest, State, set[str], Engine], State]
    delete: Callable[[DeleteRequest, Engine], None]


class Docker(Provider):
    """One Docker Engine, as a Pulumi provider."""

    name, version = "docker", "5.1.0"
    # Without `accept_secrets`, as in the official plugin: the engine marks the outputs secret itself.
    features = Features(supports_autonaming_configuration=True)

    def __init__(self) -> None:
        super().__init__()
        self._engine: Engine | None = None

    def check_config(self, request: CheckRequest) -> CheckResponse:
        """Refuse unsupported settings, and mark the registries' passwords secret."""
        failures = [
            CheckFailure(name, f"Slipway's stand-in plugin does not support the provider's {name}: {_REMEDY}")
            for name, value in request.news.items()
            if name not in SETTINGS and value is not None
        ]
        checked = dict(request.news)
        accounts = plain(checked.get("registryAuth"))
        if isinstance(accounts, str):
            failures += _account_failures(accounts)
            if not failures:
                checked["registryAuth"] = Secret(_compact(accounts))
        return CheckResponse(checked, failures)

    def diff_config(self, request: DiffRequest) -> DiffResponse:
        """Never replace a provider: a changed address still leads to the same engine."""
        return DiffResponse()

    def configure(self, request: ConfigureRequest) -> None:
        """Ping the engine; Failure if it does not answer."""
        if has_unknown(request.arguments.get("host")):
            return
        engine = Engine(request.arguments)
        if plain(request.arguments.get("disableDockerDaemonCheck")) not in (True, "true"):
            try:
                engine.find()
            except OSError as error:
                self.engine.log(
                    "error",
                    f"No Docker Engine answers at {engine.address} ({error}). Is the machine up, and Docker "
                    "running there?",
                    request.urn,
                )
                raise Failure(
                    "docker native provider returned an unexpected error from Configure: "
                    "failed to connect to any docker daemon"
                ) from error
        self._engine = engine

    def check(self, request: CheckRequest) -> CheckResponse:
        """Validate and complete a resource's inputs."""
        if request.type == IMAGE:
            from plugins.docker import image

            return image.check(request, self.engine)
        return inputs.check(request, _schema(request.type), request.type.rpartition(":")[2])

    def diff(self, request: DiffRequest) -> DiffResponse:
        """Compare a resource's state with its new inputs."""
        if request.type == IMAGE:
            from plugins.docker import image

            return image.diff(request)
        return compare(request, _schema(request.type))

    def create(self, request: CreateRequest) -> CreateResponse:
        """Create a resource; in a preview, predict its state."""
        if request.type == IMAGE:
            return self._build(request.urn, request.properties, preview=request.preview)
        schema = _schema(request.type)
        if request.preview:
            planned = plan(request.properties, schema.attributes)
            return CreateResponse("", write_preview(planned, schema, timeout=request.timeout))
        with_engine = self._operations(request.type).create
        return with_engine(request, self._connected())

    def read(self, request: ReadRequest) -> ReadResponse:
        """Look a resource up."""
        if request.type == IMAGE:
            # Like the official plugin: a refresh does not look at an image.
            return ReadResponse(request.id, request.properties, request.inputs)
        schema = _schema(request.type)
        try:
            found = self._operations(request.type).read(request, self._connected())
        except EngineError as error:
            raise Failure(f"refreshing {request.urn}: 1 error occurred:\n\t* {error}\n\n") from error
        if found is None:
            return ReadResponse("", {}, {})
        resource_id, state = found
        shown = to_pulumi(state, schema.attributes)
        now = inputs.refreshed(request.inputs, shown, schema.attributes)
        if not request.inputs:
            now = inputs.configured(shown, schema.attributes)
        return ReadResponse(resource_id, write(resource_id, state, schema, timeout=request.timeout), now)

    def update(self, request: UpdateRequest) -> UpdateResponse:
        """Change a resource in place; in a preview, predict its state."""
        if request.type == IMAGE:
            return UpdateResponse(self._build(request.urn, request.news, preview=request.preview).properties)
        schema = _schema(request.type)
        changed = set(property_changes(DiffRequest(*request[:8]), schema.attributes))
        state = updated(request, schema, changed)
        if request.preview:
            predicted = write_preview(state, schema, timeout=request.timeout)
            return UpdateResponse({**predicted, "id": request.id})
        state = self._operations(request.type).update(request, state, changed, self._connected())
        return UpdateResponse(write(request.id, state, schema, timeout=request.timeout))

    def delete(self, request: DeleteRequest) -> None:
        """Remove a resource."""
        if request.type != IMAGE:
            self._operations(request.type).delete(request, self._connected())

    def invoke(self, request: InvokeRequest) -> InvokeResponse:
        """Call a function."""
        if request.token != "docker:index/getNetwork:getNetwork":  # noqa: S105  # a name of Pulumi's
            raise Failure(f"Slipway's stand-in plugin does not have the function {request.token}: {_REMEDY}")
        from plugins.docker.network import get_network

        return InvokeResponse(get_network(request.arguments, self._connected()))

    def _connected(self) -> Engine:
        if self._engine is None:
            raise Failure("the docker provider is not configured: its engine's address is not known yet")
        return self._engine

    def _build(self, urn: str, properties: Properties, *, preview: bool) -> CreateResponse:
        from plugins.docker import image

        if preview and not image.can_preview(properties, urn, self.engine):
            return CreateResponse("", properties)
        return image.build(urn, properties, self._connected(), self.engine, self.cancelled, preview=preview)

    def _operations(self, kind: str) -> Operations:
        """Return the operations of a type of resource, and import its module, which a preview does not need."""
        if kind == "docker:index/container:Container":
            from plugins.docker import container

            return Operations(
                lambda request, engine: container.create(request, engine, self.cancelled),
                container.read,
                lambda request, state, changed, engine: container.update(
                    request, state, changed, engine, self.cancelled
                ),
                container.delete,
            )
        if kind == "docker:index/network:Network":
            from plugins.docker import network

            return Operations(network.create, network.read, _unchanged, network.delete)
        if kind == "docker:index/volume:Volume":
            from plugins.docker import volume

            return Operations(volume.create, volume.read, _unchanged, volume.delete)
        from plugins.docker import remote_image

        if kind == "docker:index/tag:Tag":
            return Operations(remote_image.create_tag, remote_image.read_tag, _unchanged, _nothing)
        return Operations(
            lambda request, engine: remote_image.create(
                request, engine, Watch(self.engine, request.urn, self.cancelled)
            ),
            remote_image.read,
            _unchanged,
            remote_image.delete,
        )


def _account_failures(accounts: str) -> list[CheckFailure]:
    """Refuse unsupported settings of registries. `accounts` is the JSON of Pulumi's SDK."""
    try:
        entries = json.loads(accounts)
        names = {name for entry in entries for name, value in entry.items() if value is not None}
    except (ValueError, AttributeError, TypeError):
        return [CheckFailure("registryAuth", "registryAuth must be a list of registries")]
    return [
        CheckFailure(
            f"registryAuth.{name}",
            f"Slipway's stand-in plugin does not support the provider's registryAuth.{name}: {_REMEDY}",
        )
        for name in sorted(names - {"address", "username", "password"})
    ]


def _compact(accounts: str) -> str:
    """Return JSON in the form in which Go writes it."""
    text = json.dumps(json.loads(accounts), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _schema(kind: str) -> Schema:
    if kind not in SCHEMAS:
        raise Failure(f"Slipway's stand-in plugin does not have the resource type {kind}: {_REMEDY}")
    return SCHEMAS[kind]


def _unchanged(request: UpdateRequest, state: State, changed: set[str], engine: Engine) -> State:
    """Change nothing on the engine: the changed properties concern only Pulumi."""
    return state


def _nothing(request: DeleteRequest, engine: Engine) -> None:
    """Do nothing: like the official plugin, leave the tag on the engine."""
