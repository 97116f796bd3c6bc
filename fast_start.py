"""Shortens the start and the end of short programs: the stack's program, `slip`, the plugins."""

import atexit
import gc
from typing import Any


def skip_garbage_collection() -> None:
    """Collect no garbage, not even at exit: a program of a few seconds frees less by it than it costs."""
    gc.disable()
    atexit.register(gc.freeze)


def collect_garbage_rarely() -> None:
    """Look for garbage after 100,000 new objects, not 700: what imports make stays. It saves a tenth of a second.

    Unlike `skip_garbage_collection`, this is for commands that may run for long.
    """
    gc.set_threshold(100_000)


def import_asyncssh() -> Any:
    """Import `asyncssh`, which takes 0.2 s, and return it.

    asyncssh looks for optional C libraries by running a linker or a compiler for each, which takes longer than the rest
    of its import. It does not need them: cryptography has their functions.
    """
    import ctypes.util

    find_library = ctypes.util.find_library
    try:
        vars(ctypes.util)["find_library"] = lambda name: None
        import asyncssh
    finally:
        vars(ctypes.util)["find_library"] = find_library
    return asyncssh
