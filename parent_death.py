"""Ends a child process with its parent, even if the parent is killed: Linux sends the child a signal.

Without it, a build goes on for minutes after `slip` was killed. Elsewhere than on Linux a child only ends if its parent
ends it. The signal comes at the end of the parent's *thread* that started the child, so that thread has to wait for it.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def ends_with_parent(number: int = signal.SIGTERM) -> Callable[[], None] | None:
    """The `preexec_fn` of a child that gets this signal when its parent ends; None where the system cannot do it."""
    prctl = _prctl()
    if prctl is None:
        return None
    parent = os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it has ended meanwhile
            os.kill(os.getpid(), number)

    return prepare


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Let this process get the signal when its parent ends, where the system can do it."""
    if prctl := _prctl():
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _prctl() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    try:
        found: Callable[..., int] = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    return found
