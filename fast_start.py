"""Shortens the start and the end of short programs: the stack's program, `slip`, the plugins."""

import atexit
import ctypes.util
import gc
from typing import Any


def skip_garbage_collection() -> None:
    """Collect no garbage, not even at exit: a program of a few seconds frees less by it than it costs."""
    gc.disable()
    atexit.register(gc.freeze)


def import_asyncssh() -> Any:
    """Import `asyncssh`, which takes 0.2 s, and return it.

    asyncssh looks for optional C libraries by running a linker or a compiler for each, which takes longer than the rest
    of its import. It does not need them: cryptography has their functions.
    """
    find_library = ctypes.util.find_library
    try:
        vars(ctypes.util)["find_library"] = lambda name: None
        import asyncssh
    finally:
        vars(ctypes.util)["find_library"] = find_library
    return asyncssh
