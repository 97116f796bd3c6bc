"""Starts plugins by forking a process that has imported what they all need.

An update starts a plugin for each host and some more, and most of a start is imports. So a process that has done those,
the nursery, is there as long as the Pulumi CLI: the language host's launcher starts it, else the first plugin leaves a
copy of itself behind. Each plugin hands its arguments and standard streams over (hand_over.py), and the nursery forks a
child that serves in its place; what the engine has started just waits for that child, which is in its process group and
so gets its signals. Where anything of this cannot be had, plugins start as if there were none.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import NoReturn

from plugins.start.hand_over import PATIENCE, address, peer

_LONGEST = 1 << 20
"""Bytes of arguments and environment at most; a plugin that has more starts without the nursery."""

_parent = os.getppid()
_cli: int | None = None
"""In a forked plugin the CLI, as a pidfd: its parent is the nursery."""


def wait_for_end(seconds: float) -> bool:
    """Wait for the end of the CLI that this plugin belongs to, at most so many seconds; whether it has ended."""
    if _cli is not None:
        return bool(select.select([_cli], [], [], seconds)[0])
    time.sleep(seconds)
    return os.getppid() != _parent


def leave(modules: list[str], serve: Callable[[list[str]], object]) -> None:
    """Leave a nursery behind for this CLI, which calls `serve` with its arguments in a fork for each plugin.

    Called before any thread is started. The nursery imports the `modules`, which plugins after the first may need,
    one after another as long as no plugin is asked for.
    """
    place = _place(os.getppid())
    if place is None:
        return
    door, watch = place
    if os.fork():
        door.close()
        os.close(watch)
        return
    _keep(door, watch, modules, serve)


def keep(
    cli: int, prepare: Callable[[], None], modules: list[str], serve: Callable[[list[str]], object]
) -> None:
    """Be the nursery of a CLI until that ends, as `leave` makes one; return if there is one, or cannot be any.

    `prepare` imports what every plugin needs. A plugin that comes before that has ended starts without the nursery.
    """
    place = _place(cli)
    if place is not None:
        prepare()
        _keep(*place, modules, serve)


def _place(cli: int) -> tuple[socket.socket, int] | None:
    """Where the nursery of a CLI is asked for plugins, and the CLI as a pidfd; none if somebody is there already."""
    # Who has process 1 for a parent has lost its own, which it would outlive.
    if not hasattr(os, "pidfd_open") or cli == 1:
        return None
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.bind(address(cli))
        return door, os.pidfd_open(cli)
    except OSError:
        door.close()
        return None


def _keep(
    door: socket.socket, watch: int, modules: list[str], serve: Callable[[list[str]], object]
) -> NoReturn:
    try:
        _be_nursery(door, watch, modules, serve)
    finally:
        os._exit(1)


def _be_nursery(
    door: socket.socket, watch: int, modules: list[str], serve: Callable[[list[str]], object]
) -> None:
    # Not with the group of whoever left us behind, whose end is not ours; nor may we hold its streams open.
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    # It ends with the CLI, and only so: whoever it forks is asked to end by itself.
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    door.listen(64)
    while True:
        ready, _, _ = select.select([door.fileno(), watch], [], [], 0 if modules else None)
        if watch in ready:
            os._exit(0)
        if not ready:
            with contextlib.suppress(Exception):  # a plugin that needs it will say so
                import_module(modules.pop(0))
            continue
        link, _ = door.accept()
        with link:
            if peer(link) and not os.fork():
                door.close()
                try:
                    _be_plugin(link, watch, serve)
                except Exception:  # noqa: BLE001  # as Python itself would say it, had it started the plugin
                    sys.excepthook(*sys.exc_info())
                finally:
                    os._exit(1)


def _be_plugin(link: socket.socket, watch: int, serve: Callable[[list[str]], object]) -> None:
    """Take on what the process that asked for us was started with, and serve."""
    global _cli
    _cli = watch
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    link.settimeout(PATIENCE)
    header, streams, _, _ = socket.recv_fds(link, 4, 3)
    length = int.from_bytes(header, "big")
    if len(header) < 4 or len(streams) != 3 or length > _LONGEST:
        return
    received = bytearray()
    while len(received) < length:
        part = link.recv(length - len(received))
        if not part:
            return
        received += part
    folder, count, *rest = received.decode(errors="surrogateescape").split("\0")
    arguments = rest[: int(count)]
    os.environ.clear()
    for variable in rest[int(count) :]:
        name, _, value = variable.partition("=")
        os.environ[name] = value
    os.chdir(folder)
    for stream, own in zip(streams, (0, 1, 2), strict=True):
        os.dup2(stream, own)
        os.close(stream)
    os.setpgid(0, os.getpgid(peer(link)))
    link.settimeout(None)
    link.sendall(str(os.getpid()).encode())
    serve(arguments)
