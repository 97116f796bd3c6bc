"""Streams of an engine's messages: read in a thread, so that a stream that stalls holds nothing up."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from plugins.protocol.messages import Failure
from plugins.protocol.provider import Engine as PulumiEngine

TELL_SECONDS = 60.0
"""After so many seconds without a message the user is told, once."""

END_SECONDS = 300.0
"""After so many seconds without a message a pull or a push ends. A step of a build may be silent for longer."""

_POLL_SECONDS = 0.2


class Watch(NamedTuple):
    """Who is told that a stream stalls, and who can end it."""

    engine: PulumiEngine
    urn: str
    cancelled: threading.Event


class StalledError(Exception):
    """The engine reported no progress for too long. The text says what it was doing."""


_Item = tuple[str, Any]


def watched(
    start: Callable[[], Iterable[Mapping[str, Any]]],
    what: str,
    watch: Watch | None,
    end_seconds: float | None = END_SECONDS,
) -> Iterator[Mapping[str, Any]]:
    """The messages of a stream.

    Args:
        start: sends the request and returns its messages. It runs in a thread of its own, since the engine may not
            even answer.
        what: what the engine does, such as `the pull of debian:12`.
        watch: who is told; None if nobody is.
        end_seconds: how long the stream may be silent; None for any time.

    Raises:
        StalledError: it was silent for that long.
        Failure: the update was cancelled.
        Whatever `start` and its messages raise.
    """
    items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
    # If the stream is given up, its thread and its connection end with the plugin; then the engine gives up, too.
    threading.Thread(target=_read, args=(start, items), daemon=True).start()
    last, told = time.monotonic(), False
    while True:
        try:
            kind, value = items.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if watch and watch.cancelled.is_set():
                raise Failure("cancelled") from None
            silent = time.monotonic() - last
            if end_seconds is not None and silent > end_seconds:
                raise StalledError(
                    f"{what} made no progress for {silent / 60:.0f} minutes, so it was ended. Is the network or the "
                    "registry slow or down?"
                ) from None
            if watch and not told and silent > TELL_SECONDS:
                told = True
                watch.engine.log("warning", _notice(what, silent, end_seconds), watch.urn)
            continue
        if kind == "end":
            return
        if kind == "error":
            raise value
        last, told = time.monotonic(), False
        yield value


def _notice(what: str, silent: float, end_seconds: float | None) -> str:
    then = f"; it ends after {end_seconds / 60:.0f} minutes" if end_seconds is not None else ""
    return f"{what} has made no progress for {silent:.0f} s{then}. Ctrl-C ends it now."


def _read(start: Callable[[], Iterable[Mapping[str, Any]]], items: "queue.SimpleQueue[_Item]") -> None:
    try:
        for message in start():
            items.put(("message", message))
    except BaseException as error:  # noqa: BLE001 - it is raised where the messages are read
        items.put(("error", error))
    else:
        items.put(("end", None))
