"""Shortens the start and the end of the program. Imported first: importing the SDKs takes most of the start."""

import atexit
import gc
import os

import pulumi


def _no_debug(
    msg: str,
    resource: pulumi.Resource | None = None,
    stream_id: int | None = None,
    ephemeral: bool | None = None,
) -> None:
    """Replaces `pulumi.log.debug`, which waits for the engine's answer, 300 times in an update of `local`."""


# The program runs for two seconds, so collecting garbage costs more than it frees: during the run, and at its end.
gc.disable()
atexit.register(gc.freeze)
if not os.environ.get("SLIPWAY_DEBUG"):
    pulumi.log.debug = _no_debug
