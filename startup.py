"""Shortens the start and the end of the program. Imported first: importing the SDKs takes most of the start."""

import os

import pulumi

from fast_start import skip_garbage_collection


def _no_debug(
    msg: str,
    resource: pulumi.Resource | None = None,
    stream_id: int | None = None,
    ephemeral: bool | None = None,
) -> None:
    """Replaces `pulumi.log.debug`, which waits for the engine's answer, 300 times in an update of `local`."""


skip_garbage_collection()
if not os.environ.get("SLIPWAY_DEBUG"):
    pulumi.log.debug = _no_debug
