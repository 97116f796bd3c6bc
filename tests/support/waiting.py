"""Waiting for an event. A limit here ends a test that hangs; it never decides whether a test passes."""

import contextlib
import time
from collections.abc import Callable

PATIENCE = 300.0
"""Seconds that one command or event may take. Each takes a fraction of that on a quiet machine."""
TOOLS_LIMIT = 3600.0
"""Seconds for the first `up` on a machine that has to download or build every tool."""
ANSWER = 60.0
"""Seconds that a server may take for an answer. A client gives up then, since a server that died may never hang up."""


def eventually(what: str, holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds; errors of the network and failed assertions count as "not yet"."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, AssertionError):
            if holds():
                return
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
