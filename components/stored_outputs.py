"""Stores outputs of the stack before the program ends, so that a later failure does not leave them out.

Pulumi registers a stack's outputs once, when all of them are known. The engine accepts them several times: the last
registration counts if the update succeeds; after a failure it is merged into the outputs of the update before.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.runtime import get_root_resource, is_dry_run, rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_monitor


def store(outputs: Mapping[str, pulumi.Input[Any]]) -> pulumi.Output[None]:
    """Register these outputs of the stack as soon as they are known. What depends on the result comes after that.

    A preview stores nothing.
    """
    return pulumi.Output.from_input(None if is_dry_run() else _register(outputs))


async def _register(outputs: Mapping[str, pulumi.Input[Any]]) -> None:
    stack, monitor = get_root_resource(), get_monitor()
    urn = await stack.urn.future() if stack else None
    properties = await rpc.serialize_properties(dict(outputs), {})
    if urn and monitor:
        request = resource_pb2.RegisterResourceOutputsRequest(urn=urn, outputs=properties)
        # Not `register_outputs`, which does not say when the engine has answered: the last registration counts.
        await asyncio.get_running_loop().run_in_executor(None, monitor.RegisterResourceOutputs, request)
