"""The outputs of a stack as its last successful update left them: of this stack, or of another one."""

import time
from collections.abc import Mapping
from typing import Any

import pulumi

READ_PATIENCE = 5.0
"""Seconds to retry while another write of the state makes it unreadable; a write takes some milliseconds."""


def previous_outputs() -> Mapping[str, object]:
    """This stack's outputs; none in a new stack. A failed update writes no outputs."""
    return outputs_of(f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")


def outputs_of(stack: str) -> Mapping[str, object]:
    """The outputs of a stack by its full name, secrets in clear text; none if the stack does not exist."""
    answer = _read_outputs(stack)
    outputs: Mapping[str, object] = (answer.value or {}).get("outputs") or {}
    return outputs


def _read_outputs(stack: str) -> Any:
    # A StackReference makes the same call, but adds a resource to the state of every stack.
    deadline = time.monotonic() + READ_PATIENCE
    while True:
        try:
            return pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": stack})
        except Exception as error:
            # The file backend does not write the state atomically, and the engine may be writing it now.
            if "failed to load checkpoint" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
