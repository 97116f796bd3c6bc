"""The host that all plugins share: Pulumi's provider protocol (gRPC), so that a plugin is plain Python.

How a plugin is written
-----------------------
A module `plugins.NAME` has `provider() -> Provider`; `plugins.start.main` calls it and serves what it returns::

    class Clock(Provider):
        name, version = "clock", "1.0.0"
        features = Features(accept_secrets=True)

        def check(self, request: Check) -> Checked:
            return Checked(request.news, unsupported(request, {"zone"}, "Clock"))

        def create(self, request: Create) -> Created:
            if request.preview:
                return Created("", {**request.properties, "time": UNKNOWN})
            self.engine.log("info", "winding it up", request.urn, ephemeral=True)
            return Created("clock-1", {**request.properties, "time": "now"})

A method gets one request (the named tuples below, properties as `plugins.protocol.properties` says) and returns one
answer.  Calls come from many threads at once.  What a plugin does not override answers UNIMPLEMENTED, as the
engine expects.  Errors: `Failure("text")` is what the user reads; `InitFailure` is a resource that exists
but does not work; a `CheckFailure` in `Checked.failures` is bad input.  Anything else that is raised is a
fault of the plugin and is reported as one.  `request.timeout` is the resource's own limit in seconds (0:
none); `self.cancelled` is set once the user wants the update to end, and long work must look at it.

Every `docker.Provider` of a stack is a process of its own, so a module imports at its top only what every
call needs (no SDK, no SSH, no cryptography), and the rest inside the functions that use it.
"""

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2

from plugins.protocol.properties import Properties, decode_properties, encode_properties
from plugins.start import fork_server as nursery

Severity = Literal["debug", "info", "warning", "error"]
Change = Literal["ADD", "ADD_REPLACE", "DELETE", "DELETE_REPLACE", "UPDATE", "UPDATE_REPLACE"]


class Failure(Exception):
    """A call that failed, with the text that the user reads."""


class Unimplemented(Exception):
    """A call that this plugin does not have."""


class InitFailure(Exception):
    """A resource that was made or changed, but does not work: the engine keeps it and says why."""

    def __init__(
        self,
        resource_id: str,
        properties: Properties,
        reasons: list[str],
        inputs: Properties | None = None,
    ) -> None:
        """Say what exists (`resource_id`, its state) and why it fails; `inputs` belongs to `read` only."""
        super().__init__("\n".join(reasons))
        self.id = resource_id
        self.properties = properties
        self.reasons = reasons
        self.inputs = inputs


class CheckFailure(NamedTuple):
    """One bad input: which property, and why; an empty property stands for the whole resource.

    The user reads the reason, with the property before it unless it is in there.  The engine is not told the
    property as such, because it would print its value too, also a secret one.
    """

    property: str
    reason: str


class Features(NamedTuple):
    """What a plugin tells the engine that it can take; previews are always supported."""

    accept_secrets: bool = False
    """Properties come with their `Secret`s; else they come bare, and the engine keeps the secrecy by name."""
    accept_resources: bool = False
    accept_outputs: bool = False
    supports_autonaming_configuration: bool = False


class Configure(NamedTuple):
    """The configuration of the provider, after `check_config`."""

    arguments: Properties
    urn: str
    name: str
    id: str


class Autonaming(NamedTuple):
    """The name that the stack's `pulumi:autonaming` setting proposes or demands."""

    proposed_name: str
    mode: str
    """`PROPOSE`, `ENFORCE` or `DISABLE`."""


class Check(NamedTuple):
    """Inputs to be validated and completed: `news` from the program, `olds` those of last time, if any."""

    urn: str
    name: str
    type: str
    olds: Properties
    news: Properties
    random_seed: bytes = b""
    autonaming: Autonaming | None = None


class Checked(NamedTuple):
    """The completed inputs, and what is wrong with them."""

    inputs: Properties
    failures: Iterable[CheckFailure] = ()


class Diff(NamedTuple):
    """A comparison: `olds` is the whole old state, `old_inputs` and `news` are inputs."""

    urn: str
    name: str
    type: str
    id: str
    olds: Properties
    news: Properties
    old_inputs: Properties
    ignore_changes: tuple[str, ...] = ()


class PropertyChange(NamedTuple):
    """One entry of a detailed diff."""

    kind: Change
    input_diff: bool = False
    """True when old and new *inputs* differ, false when the old state differs from the new inputs."""


class Difference(NamedTuple):
    """The answer to a `Diff`."""

    changes: bool | None = None
    """Whether there are any; None leaves it to the engine."""
    diffs: Iterable[str] = ()
    replaces: Iterable[str] = ()
    stables: Iterable[str] = ()
    delete_before_replace: bool = False
    detailed: Mapping[str, PropertyChange] | None = None
    """By property path; None where the plugin does not do detailed diffs."""


class Create(NamedTuple):
    """A resource to be made, or (`preview`) foretold."""

    urn: str
    name: str
    type: str
    properties: Properties
    preview: bool = False
    timeout: float = 0.0


class Created(NamedTuple):
    """A resource that was made: its id (empty in a preview) and its whole state."""

    id: str
    properties: Properties


class Read(NamedTuple):
    """A resource to be looked up; `inputs` is filled in a refresh and empty in an import."""

    urn: str
    name: str
    type: str
    id: str
    properties: Properties
    inputs: Properties
    timeout: float = 0.0


class Found(NamedTuple):
    """A resource as it is now; an empty id says that it is gone."""

    id: str
    properties: Properties
    inputs: Properties


class Update(NamedTuple):
    """A resource to be changed in place; the fields are those of `Diff`."""

    urn: str
    name: str
    type: str
    id: str
    olds: Properties
    news: Properties
    old_inputs: Properties
    ignore_changes: tuple[str, ...] = ()
    preview: bool = False
    timeout: float = 0.0


class Delete(NamedTuple):
    """A resource to be removed."""

    urn: str
    name: str
    type: str
    id: str
    properties: Properties
    old_inputs: Properties
    timeout: float = 0.0


class Invoke(NamedTuple):
    """A function call."""

    token: str
    arguments: Properties
    preview: bool = False


class Engine:
    """The engine's side: where messages for the user go."""

    def __init__(self, address: str = "") -> None:
        """`address` is the `host:port` of the engine's gRPC server; without one, messages go to stderr."""
        self._address = address
        self._send: Callable[..., object] | None = None
        self._lock = threading.Lock()

    def attach(self, address: str) -> None:
        """Send messages to `address` from now on."""
        with self._lock:
            self._address, self._send = address, None

    def log(self, severity: Severity, message: str, urn: str = "", *, ephemeral: bool = False) -> None:
        """Show `message` with the resource `urn`; an ephemeral one is only a status beside it while it lasts.

        A message that cannot be sent is dropped: the work that it speaks of matters more.
        """
        if not self._address:
            print(f"{severity}: {message}", file=sys.stderr)
            return
        from pulumi.runtime.proto import engine_pb2

        level = engine_pb2.LogSeverity.Value(severity.upper())
        request = engine_pb2.LogRequest(severity=level, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._connected()(request, timeout=_LOG_TIMEOUT)
        except grpc.RpcError as error:
            print(f"cannot reach the engine to say: {message} ({error})", file=sys.stderr)

    def _connected(self) -> Callable[..., object]:
        with self._lock:
            if self._send is None:
                channel = grpc.insecure_channel(self._address, options=_CHANNEL_OPTIONS)
                self._send = channel.unary_unary(
                    "/pulumirpc.Engine/Log",
                    request_serializer=lambda request: request.SerializeToString(),
                    response_deserializer=empty_pb2.Empty.FromString,
                )
            return self._send


class Provider:
    """A plugin.  Override what it does; see the top of this module."""

    name: str
    """The package, as in `pulumi-resource-NAME`."""
    version: str
    """The version of the official plugin that this one stands in for."""
    features: Features = Features()

    def __init__(self) -> None:
        self.engine = Engine()
        self.cancelled = threading.Event()

    def check_config(self, request: Check) -> Checked:
        """Validate the provider's own configuration."""
        return Checked(request.news)

    def diff_config(self, request: Diff) -> Difference:
        """Compare the provider's old and new configuration."""
        return Difference()

    def configure(self, request: Configure) -> None:
        """Take the provider's configuration; comes once, before any resource."""

    def check(self, request: Check) -> Checked:
        """Validate and complete a resource's inputs."""
        raise Unimplemented("Check is not implemented")

    def diff(self, request: Diff) -> Difference:
        """Say what a change of inputs means."""
        raise Unimplemented("Diff is not implemented")

    def create(self, request: Create) -> Created:
        """Make a resource."""
        raise Unimplemented("Create is not implemented")

    def read(self, request: Read) -> Found:
        """Look a resource up."""
        raise Unimplemented("Read is not implemented")

    def update(self, request: Update) -> Properties:
        """Change a resource in place and return its new state."""
        raise Unimplemented("Update is not implemented")

    def delete(self, request: Delete) -> None:
        """Remove a resource; one that is gone already is no failure."""
        raise Unimplemented("Delete is not implemented")

    def invoke(self, request: Invoke) -> Checked:
        """Call a function; its result is `Checked.inputs`."""
        raise Unimplemented(f"{self.name} has no function {request.token}")

    def cancel(self) -> None:
        """End what is under way; `self.cancelled` is set already."""


def unsupported(request: Check, known: Iterable[str], resource: str) -> list[CheckFailure]:
    """Refuse, by name, each input of `request` that is not `known` to this stand-in for `resource`."""
    return [
        CheckFailure(
            name,
            f"Slipway's stand-in plugin does not support {name!r} of {resource}: leave it away, or use the "
            "official plugin",
        )
        for name in request.news
        if name not in set(known) and not name.startswith("__")
    ]


# Messages of the engine are as large as the stack's state; gRPC's own limit is 4 MiB.  A proxy is never
# meant for the engine, which is on this machine.
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)

_LOG_TIMEOUT = 10.0
"""Seconds that a message may take; the work that it tells of waits meanwhile."""

_SERVICE = "pulumirpc.ResourceProvider"


class Service:
    """The methods of the protocol, from messages to a `Provider` and back."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def methods(self) -> dict[str, tuple[Any, Callable[[Any], Any]]]:
        """Return, for each method of the protocol, its request type and what answers it."""
        return {
            "Handshake": (provider_pb2.ProviderHandshakeRequest, self.handshake),
            "GetPluginInfo": (empty_pb2.Empty, self.get_plugin_info),
            "Attach": (plugin_pb2.PluginAttach, self.attach),
            "CheckConfig": (provider_pb2.CheckRequest, self.check_config),
            "DiffConfig": (provider_pb2.DiffRequest, self.diff_config),
            "Configure": (provider_pb2.ConfigureRequest, self.configure),
            "Check": (provider_pb2.CheckRequest, self.check),
            "Diff": (provider_pb2.DiffRequest, self.diff),
            "Create": (provider_pb2.CreateRequest, self.create),
            "Read": (provider_pb2.ReadRequest, self.read),
            "Update": (provider_pb2.UpdateRequest, self.update),
            "Delete": (provider_pb2.DeleteRequest, self.delete),
            "Invoke": (provider_pb2.InvokeRequest, self.invoke),
            "Cancel": (empty_pb2.Empty, self.cancel),
        }

    def handshake(
        self, request: provider_pb2.ProviderHandshakeRequest
    ) -> provider_pb2.ProviderHandshakeResponse:
        if request.engine_address:
            self._provider.engine.attach(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(**self._provider.features._asdict())

    def get_plugin_info(self, request: empty_pb2.Empty) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def attach(self, request: plugin_pb2.PluginAttach) -> empty_pb2.Empty:
        self._provider.engine.attach(request.address)
        return empty_pb2.Empty()

    def check_config(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        return _checked(self._provider.check_config(_check(request)))

    def diff_config(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        return _difference(self._provider.diff_config(_diff(request)))

    def configure(self, request: provider_pb2.ConfigureRequest) -> provider_pb2.ConfigureResponse:
        arguments = decode_properties(request.args)
        self._provider.configure(Configure(arguments, request.urn, request.name, request.id))
        features = self._provider.features
        return provider_pb2.ConfigureResponse(
            supportsPreview=True,
            acceptSecrets=features.accept_secrets,
            acceptResources=features.accept_resources,
            acceptOutputs=features.accept_outputs,
            supports_autonaming_configuration=features.supports_autonaming_configuration,
        )

    def check(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        return _checked(self._provider.check(_check(request)))

    def diff(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        return _difference(self._provider.diff(_diff(request)))

    def create(self, request: provider_pb2.CreateRequest) -> provider_pb2.CreateResponse:
        created = self._provider.create(
            Create(
                urn=request.urn,
                name=request.name,
                type=request.type,
                properties=decode_properties(request.properties),
                preview=request.preview,
                timeout=request.timeout,
            )
        )
        return provider_pb2.CreateResponse(id=created.id, properties=encode_properties(created.properties))

    def read(self, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
        found = self._provider.read(
            Read(
                urn=request.urn,
                name=request.name,
                type=request.type,
                id=request.id,
                properties=decode_properties(request.properties),
                inputs=decode_properties(request.inputs),
                timeout=request.timeout,
            )
        )
        if not found.id:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.id,
            properties=encode_properties(found.properties),
            inputs=encode_properties(found.inputs),
        )

    def update(self, request: provider_pb2.UpdateRequest) -> provider_pb2.UpdateResponse:
        properties = self._provider.update(
            Update(
                urn=request.urn,
                name=request.name,
                type=request.type,
                id=request.id,
                olds=decode_properties(request.olds),
                news=decode_properties(request.news),
                old_inputs=decode_properties(request.old_inputs),
                ignore_changes=tuple(request.ignoreChanges),
                preview=request.preview,
                timeout=request.timeout,
            )
        )
        return provider_pb2.UpdateResponse(properties=encode_properties(properties))

    def delete(self, request: provider_pb2.DeleteRequest) -> empty_pb2.Empty:
        self._provider.delete(
            Delete(
                urn=request.urn,
                name=request.name,
                type=request.type,
                id=request.id,
                properties=decode_properties(request.properties),
                old_inputs=decode_properties(request.old_inputs),
                timeout=request.timeout,
            )
        )
        return empty_pb2.Empty()

    def invoke(self, request: provider_pb2.InvokeRequest) -> provider_pb2.InvokeResponse:
        result = self._provider.invoke(Invoke(request.tok, decode_properties(request.args), request.preview))
        response = provider_pb2.InvokeResponse(failures=map(_failure, result.failures))
        if not response.failures:
            getattr(response, "return").CopyFrom(encode_properties(result.inputs))
        return response

    def cancel(self, request: empty_pb2.Empty) -> empty_pb2.Empty:
        self._provider.cancelled.set()
        self._provider.cancel()
        return empty_pb2.Empty()


def _check(request: provider_pb2.CheckRequest) -> Check:
    autonaming = None
    if request.HasField("autonaming"):
        mode = provider_pb2.CheckRequest.AutonamingOptions.Mode.Name(request.autonaming.mode)
        autonaming = Autonaming(request.autonaming.proposed_name, mode)
    return Check(
        urn=request.urn,
        name=request.name,
        type=request.type,
        olds=decode_properties(request.olds),
        news=decode_properties(request.news),
        random_seed=request.randomSeed,
        autonaming=autonaming,
    )


def _diff(request: provider_pb2.DiffRequest) -> Diff:
    return Diff(
        urn=request.urn,
        name=request.name,
        type=request.type,
        id=request.id,
        olds=decode_properties(request.olds),
        news=decode_properties(request.news),
        old_inputs=decode_properties(request.old_inputs),
        ignore_changes=tuple(request.ignoreChanges),
    )


def _failure(failure: CheckFailure) -> provider_pb2.CheckFailure:
    reason = failure.reason
    if failure.property and not re.search(rf"(?<!\w){re.escape(failure.property)}(?!\w)", reason):
        reason = f"{failure.property}: {reason}"
    return provider_pb2.CheckFailure(reason=reason)


def _checked(checked: Checked) -> provider_pb2.CheckResponse:
    failures = list(map(_failure, checked.failures))
    if failures:
        return provider_pb2.CheckResponse(failures=failures)
    return provider_pb2.CheckResponse(inputs=encode_properties(checked.inputs))


def _difference(difference: Difference) -> provider_pb2.DiffResponse:
    response = provider_pb2.DiffResponse(
        replaces=difference.replaces,
        stables=difference.stables,
        diffs=difference.diffs,
        deleteBeforeReplace=difference.delete_before_replace,
        hasDetailedDiff=difference.detailed is not None,
    )
    if difference.changes is not None:
        response.changes = (
            provider_pb2.DiffResponse.DIFF_SOME if difference.changes else provider_pb2.DiffResponse.DIFF_NONE
        )
    for path, change in (difference.detailed or {}).items():
        entry = response.detailedDiff[path]
        entry.kind = provider_pb2.PropertyDiff.Kind.Value(change.kind)
        entry.inputDiff = change.input_diff
        entry.SetInParent()
    return response


def _abort(context: grpc.ServicerContext, error: Exception, plugin: str) -> NoReturn:
    """End the call in `context` with `error`, as the protocol says it."""
    if isinstance(error, Unimplemented):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
    if isinstance(error, InitFailure):
        context.set_trailing_metadata((("grpc-status-details-bin", _details(error)),))
        context.abort(grpc.StatusCode.UNKNOWN, str(error))
    if isinstance(error, Failure):
        context.abort(grpc.StatusCode.UNKNOWN, str(error))
    # A fault of ours: the trace goes to the plugin's stderr, which the engine shows, and the call fails.
    where = traceback.extract_tb(error.__traceback__)[-1]
    traceback.print_exception(error)
    text = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
    context.abort(grpc.StatusCode.UNKNOWN, f"a fault of Slipway's stand-in for pulumi-{plugin}: {text}")


def _details(error: InitFailure) -> bytes:
    """Return `error` as a serialized google.rpc.Status, where gRPC clients look for details."""
    from google.protobuf import any_pb2
    from pulumi.runtime.proto import status_pb2

    message = provider_pb2.ErrorResourceInitFailed(
        id=error.id, properties=encode_properties(error.properties), reasons=error.reasons
    )
    if error.inputs is not None:
        message.inputs.CopyFrom(encode_properties(error.inputs))
    detail = any_pb2.Any()
    detail.Pack(message)
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
    return bytes(status.SerializeToString())


class Calls:
    """Counts the calls that are being answered."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until there are none, but at most so many `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count, seconds)


def start(provider: Provider, calls: Calls | None = None, *, threads: int = 256) -> tuple[grpc.Server, int]:
    """Start to answer the engine's `calls` to `provider`, and return the server and its port on 127.0.0.1.

    Threads are made as they are needed; there may be many, since a call can wait for a host for minutes and
    the engine sends as many at once as `--parallel` allows.
    """
    calls = calls or Calls()

    def handler(respond: Callable[[Any], Any], request_type: Any) -> Any:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            with calls:
                try:
                    return respond(request)
                except Exception as error:  # noqa: BLE001  # the engine must hear of every fault
                    _abort(context, error, provider.name)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=request_type.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    handlers = {
        method: handler(respond, request_type)
        for method, (request_type, respond) in Service(provider).methods().items()
    }
    server = grpc.server(ThreadPoolExecutor(threads), options=_CHANNEL_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def serve(provider: Provider, arguments: list[str]) -> NoReturn:
    """Serve `provider` until the engine stops it or is gone; `arguments` follow the name.

    The engine reads the port from the first line of our stdout, and gives its own address as the last
    argument.
    """
    calls = Calls()

    def end(*_: object) -> NoReturn:
        # A second signal would wait for a lock that the first one's handler, below it, holds.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        # What is still under way has nobody to report to any more; usually there is nothing.
        try:
            provider.cancelled.set()
            provider.cancel()
            calls.wait(1.0)
        finally:
            os._exit(0)

    if arguments and not arguments[-1].startswith("-"):
        provider.engine.attach(arguments[-1])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    _server, port = start(provider, calls)
    print(port, flush=True)
    while not nursery.wait_for_end(0.5):
        pass
    # An engine that was killed has told us nothing.
    end()
