"""The gRPC service of a plugin: the protocol's messages become requests to a `Provider`, and its responses messages."""

import re
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2

from plugins.protocol.messages import (
    Autonaming,
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    CreateRequest,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    Failure,
    InitFailure,
    InvokeRequest,
    ReadRequest,
    Unimplemented,
    UpdateRequest,
    sendable,
)
from plugins.protocol.properties import decode_properties, encode_properties
from plugins.protocol.provider import Provider

NAME = "pulumirpc.ResourceProvider"
"""The service's name in the protocol."""


class Service:
    """The methods of the protocol, answered by a `Provider`."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def methods(self) -> dict[str, tuple[Any, Callable[[Any], Any]]]:
        """Return the request type and the handler of each method of the protocol."""
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
        return _check_response(self._provider.check_config(_check_request(request)))

    def diff_config(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        return _diff_response(self._provider.diff_config(_diff_request(request)))

    def configure(self, request: provider_pb2.ConfigureRequest) -> provider_pb2.ConfigureResponse:
        arguments = decode_properties(request.args)
        self._provider.configure(ConfigureRequest(arguments, request.urn, request.name, request.id))
        features = self._provider.features
        return provider_pb2.ConfigureResponse(
            supportsPreview=True,
            acceptSecrets=features.accept_secrets,
            acceptResources=features.accept_resources,
            acceptOutputs=features.accept_outputs,
            supports_autonaming_configuration=features.supports_autonaming_configuration,
        )

    def check(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        return _check_response(self._provider.check(_check_request(request)))

    def diff(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        return _diff_response(self._provider.diff(_diff_request(request)))

    def create(self, request: provider_pb2.CreateRequest) -> provider_pb2.CreateResponse:
        created = self._provider.create(
            CreateRequest(
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
            ReadRequest(
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
        updated = self._provider.update(
            UpdateRequest(
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
        return provider_pb2.UpdateResponse(properties=encode_properties(updated.properties))

    def delete(self, request: provider_pb2.DeleteRequest) -> empty_pb2.Empty:
        self._provider.delete(
            DeleteRequest(
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
        result = self._provider.invoke(
            InvokeRequest(request.tok, decode_properties(request.args), request.preview)
        )
        response = provider_pb2.InvokeResponse(failures=map(_failure, result.failures))
        if not response.failures:
            getattr(response, "return").CopyFrom(encode_properties(result.properties))
        return response

    def cancel(self, request: empty_pb2.Empty) -> empty_pb2.Empty:
        self._provider.cancelled.set()
        self._provider.cancel()
        return empty_pb2.Empty()


def _check_request(request: provider_pb2.CheckRequest) -> CheckRequest:
    autonaming = None
    if request.HasField("autonaming"):
        mode = provider_pb2.CheckRequest.AutonamingOptions.Mode.Name(request.autonaming.mode)
        autonaming = Autonaming(request.autonaming.proposed_name, mode)
    return CheckRequest(
        urn=request.urn,
        name=request.name,
        type=request.type,
        olds=decode_properties(request.olds),
        news=decode_properties(request.news),
        random_seed=request.randomSeed,
        autonaming=autonaming,
    )


def _diff_request(request: provider_pb2.DiffRequest) -> DiffRequest:
    return DiffRequest(
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
    return provider_pb2.CheckFailure(reason=sendable(reason))


def _check_response(checked: CheckResponse) -> provider_pb2.CheckResponse:
    failures = list(map(_failure, checked.failures))
    if failures:
        return provider_pb2.CheckResponse(failures=failures)
    return provider_pb2.CheckResponse(inputs=encode_properties(checked.inputs))


def _diff_response(difference: DiffResponse) -> provider_pb2.DiffResponse:
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


def abort(context: grpc.ServicerContext, error: Exception, plugin: str) -> NoReturn:
    """End the call in `context` with `error`, in the form that the protocol defines."""
    if isinstance(error, Unimplemented):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, sendable(str(error)))
    if isinstance(error, InitFailure):
        context.set_trailing_metadata((("grpc-status-details-bin", _details(error)),))
        context.abort(grpc.StatusCode.UNKNOWN, sendable(str(error)))
    if isinstance(error, Failure):
        context.abort(grpc.StatusCode.UNKNOWN, sendable(str(error)))
    # A fault of the plugin: its trace goes to stderr, which the engine shows, and the call fails.
    where = traceback.extract_tb(error.__traceback__)[-1]
    file = where.filename.rpartition("/")[2]  # a start has no time to import pathlib
    traceback.print_exception(error)
    text = f"{type(error).__name__}: {error} ({file}:{where.lineno})"
    context.abort(
        grpc.StatusCode.UNKNOWN, sendable(f"a fault of Slipway's stand-in for pulumi-{plugin}: {text}")
    )


def _details(error: InitFailure) -> bytes:
    """Return `error` as a serialized google.rpc.Status, in which gRPC clients look for details."""
    from google.protobuf import any_pb2
    from pulumi.runtime.proto import status_pb2

    message = provider_pb2.ErrorResourceInitFailed(
        id=error.id, properties=encode_properties(error.properties), reasons=map(sendable, error.reasons)
    )
    if error.inputs is not None:
        message.inputs.CopyFrom(encode_properties(error.inputs))
    detail = any_pb2.Any()
    detail.Pack(message)
    status = status_pb2.Status(
        code=grpc.StatusCode.UNKNOWN.value[0], message=sendable(str(error)), details=[detail]
    )
    return bytes(status.SerializeToString())
