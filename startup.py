"""Makes the program's own share of an update shorter. Imported first, since the imports after it are most of that."""

import atexit
import gc
import os

import pulumi


def _say_nothing(
    msg: str,
    resource: pulumi.Resource | None = None,
    stream_id: int | None = None,
    ephemeral: bool | None = None,
) -> None:
    """In place of `pulumi.log.debug`, which waits for the engine's answer, 300 times in an update of `local`."""


# A program of two seconds leaves no garbage worth looking for: not while it runs, and least of all at its end.
gc.disable()
atexit.register(gc.freeze)
if not os.environ.get("SLIPWAY_DEBUG"):
    pulumi.log.debug = _say_nothing
