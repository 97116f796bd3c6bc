"""The base class of a plugin, and the engine's log.

How to write a plugin
---------------------
A package `plugins.NAME` has a function `provider() -> Provider`; `plugins.start.main` serves its result::

    class Clock(Provider):
        name, version = "clock", "1.0.0"
        features = Features(accept_secrets=True)

        def check(self, request: CheckRequest) -> CheckResponse:
            return CheckResponse(request.news, unsupported(request, {"zone"}, "Clock"))

        def create(self, request: CreateRequest) -> CreateResponse:
            if request.preview:
                return CreateResponse("", {**request.properties, "time": UNKNOWN})
            self.engine.log("info", "winding the clock", request.urn, ephemeral=True)
            return CreateResponse("clock-1", {**request.properties, "time": "now"})

Each method takes one request and returns one response (`plugins.protocol.messages`). Calls come from many threads at
once. A method that the plugin does not override answers UNIMPLEMENTED, which the engine expects.

Errors: raise `Failure("text for the user")`; raise `InitFailure` for a resource that exists but does not work; return
a `CheckFailure` for a bad input. Any other exception is reported as a fault of the plugin.

`request.timeout` is the resource's own limit in seconds, 0 for none. `self.cancelled` is set when the user cancels the
update; long operations must check it.

Every `docker.Provider` of a stack is a process, so a module imports at its top only what every call needs. SDKs, SSH
and cryptography are imported in the functions that use them.
"""

import sys
import threading
from collections.abc import Callable, Iterable

import grpc
from google.protobuf import empty_pb2

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
    Features,
    InvokeRequest,
    InvokeResponse,
    ReadRequest,
    ReadResponse,
    Severity,
    Unimplemented,
    UpdateRequest,
    UpdateResponse,
    sendable,
)

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)
"""The engine's messages are as large as the stack's state, and gRPC's own limit is 4 MiB. The engine runs on this
machine, so it is never behind a proxy."""

_LOG_TIMEOUT = 10.0
"""Seconds to wait for the engine to take a message. The resource's operation waits meanwhile."""


class Engine:
    """The engine's log, which shows messages to the user."""

    def __init__(self, address: str = "") -> None:
        """Take the `host:port` of the engine's gRPC server; without it, messages go to stderr."""
        self._address = address
        self._send: Callable[..., object] | None = None
        self._lock = threading.Lock()

    def attach(self, address: str) -> None:
        """Send messages to `address` from now on."""
        with self._lock:
            self._address, self._send = address, None

    def log(self, severity: Severity, message: str, urn: str = "", *, ephemeral: bool = False) -> None:
        """Show `message` with the resource `urn`. An ephemeral message is only a status beside the resource.

        If the engine cannot take the message, the plugin goes on without it.
        """
        message = sendable(message)
        if not self._address:
            print(f"{severity}: {message}", file=sys.stderr)
            return
        from pulumi.runtime.proto import engine_pb2

        level = engine_pb2.LogSeverity.Value(severity.upper())
        request = engine_pb2.LogRequest(severity=level, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._connected()(request, timeout=_LOG_TIMEOUT)
        except grpc.RpcError as error:
            print(f"cannot send this message to the engine: {message} ({error})", file=sys.stderr)

    def _connected(self) -> Callable[..., object]:
        with self._lock:
            if self._send is None:
                channel = grpc.insecure_channel(self._address, options=CHANNEL_OPTIONS)
                self._send = channel.unary_unary(
                    "/pulumirpc.Engine/Log",
                    request_serializer=lambda request: request.SerializeToString(),
                    response_deserializer=empty_pb2.Empty.FromString,
                )
            return self._send


class Provider:
    """A plugin. Override the methods that it implements; see the top of this module."""

    name: str
    """The package, as in `pulumi-resource-NAME`."""
    version: str
    """The version of the official plugin that this plugin stands in for."""
    features: Features = Features()

    def __init__(self) -> None:
        self.engine = Engine()
        self.cancelled = threading.Event()

    def check_config(self, request: CheckRequest) -> CheckResponse:
        """Validate the provider's own configuration."""
        return CheckResponse(request.news)

    def diff_config(self, request: DiffRequest) -> DiffResponse:
        """Compare the provider's old and new configuration."""
        return DiffResponse()

    def configure(self, request: ConfigureRequest) -> None:
        """Take the provider's configuration. The engine calls this once, before any resource."""

    def check(self, request: CheckRequest) -> CheckResponse:
        """Validate and complete a resource's inputs."""
        raise Unimplemented("Check is not implemented")

    def diff(self, request: DiffRequest) -> DiffResponse:
        """Compare a resource's state with its new inputs."""
        raise Unimplemented("Diff is not implemented")

    def create(self, request: CreateRequest) -> CreateResponse:
        """Create a resource."""
        raise Unimplemented("Create is not implemented")

    def read(self, request: ReadRequest) -> ReadResponse:
        """Look a resource up."""
        raise Unimplemented("Read is not implemented")

    def update(self, request: UpdateRequest) -> UpdateResponse:
        """Change a resource in place."""
        raise Unimplemented("Update is not implemented")

    def delete(self, request: DeleteRequest) -> None:
        """Delete a resource. It is no failure if the resource is already gone."""
        raise Unimplemented("Delete is not implemented")

    def invoke(self, request: InvokeRequest) -> InvokeResponse:
        """Call a function."""
        raise Unimplemented(f"{self.name} has no function {request.token}")

    def cancel(self) -> None:
        """Stop all running operations; `self.cancelled` is already set."""


def unsupported(request: CheckRequest, known: Iterable[str], resource: str) -> list[CheckFailure]:
    """Refuse, by name, each input of `request` that this stand-in for `resource` does not know."""
    return [
        CheckFailure(
            name,
            f"Slipway's stand-in plugin does not support {name!r} of {resource}: leave it out, or use the "
            "official plugin",
        )
        for name in request.news
        if name not in set(known) and not name.startswith("__")
    ]
