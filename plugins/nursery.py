"""Starts plugins by forking a process that has imported what they all need.

An update starts a plugin for each host and some more, and most of a start is imports. So the first plugin that a
Pulumi CLI starts leaves a copy of itself behind, the nursery. Each one after it hands its arguments and standard
streams over to the nursery, which forks a child that serves in its place; what the engine has started just waits for
that child, which is in its process group and so gets its signals. The nursery ends with the CLI. Where anything of
this cannot be had, plugins start as if there were none.

This module is imported first in every start, so it imports little itself.
"""

import os
import signal
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 5.0
"""Seconds to wait for the nursery's word before starting without it; it takes milliseconds."""
_LONGEST = 1 << 20
"""Bytes of arguments and environment at most; a plugin that has more starts without the nursery."""

_parent = os.getppid()
_cli: int | None = None
"""In a forked plugin the CLI, as a pidfd: its parent is the nursery."""


def wait_for_end(seconds: float) -> bool:
    """Wait for the end of the CLI that this plugin belongs to, at most so many seconds; whether it has ended."""
    import select
    import time

    if _cli is not None:
        return bool(select.select([_cli], [], [], seconds)[0])
    time.sleep(seconds)
    return os.getppid() != _parent


def _address(cli: int) -> str:
    """The nursery's abstract address: of this user and this CLI."""
    return f"\0slipway-plugins/{os.getuid()}/{cli}"


def _peer(link: socket.socket) -> int:
    """The process at the other end; 0 if it is not this user's, or not to be seen: anybody may use such an address."""
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    process, user = (int.from_bytes(credentials[at : at + 4], sys.byteorder) for at in (0, 4))
    return process if user == os.getuid() else 0


def hand_over(arguments: list[str]) -> None:
    """Let the nursery's child serve in place of this process, and end with it; return if there is no nursery."""
    if not hasattr(os, "pidfd_open"):
        return
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(PATIENCE)
        link.connect(_address(os.getppid()))
        if not _peer(link):
            return
        environment = [f"{name}={value}" for name, value in os.environ.items()]
        message = "\0".join([os.getcwd(), str(len(arguments)), *arguments, *environment]).encode(
            errors="surrogateescape"
        )
        socket.send_fds(link, [len(message).to_bytes(4, "big")], [0, 1, 2])
        link.sendall(message)
        child = int(link.recv(20) or b"0")
        if not child:
            raise OSError("the nursery has ended")
        link.settimeout(None)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: _pass_on(number, child))
    except OSError:
        link.close()
        return
    try:
        link.recv(1)  # nothing comes: the child's end of the link is closed with the child
    finally:
        os._exit(0)


def _pass_on(number: int, child: int) -> None:
    try:  # noqa: SIM105  # contextlib takes milliseconds to import
        os.kill(child, number)
    except ProcessLookupError:
        pass  # it was in the group that got the signal


def leave(modules: list[str], serve: "Callable[[list[str]], object]") -> None:
    """Leave a nursery behind for this CLI, which calls `serve` with its arguments in a fork for each plugin.

    Called before any thread is started. The nursery imports the `modules`, which plugins after the first may need,
    one after another as long as no plugin is asked for.
    """
    if not hasattr(os, "pidfd_open"):
        return
    cli = os.getppid()
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.bind(_address(cli))
        watch = os.pidfd_open(cli)
    except OSError:
        door.close()  # another plugin was first, or the system has no such thing
        return
    if os.fork():
        door.close()
        os.close(watch)
        return
    try:
        _be_nursery(door, watch, modules, serve)
    finally:
        os._exit(1)


def _be_nursery(
    door: socket.socket, watch: int, modules: list[str], serve: "Callable[[list[str]], object]"
) -> None:
    import contextlib
    import select
    from importlib import import_module

    # Not with the first plugin's group, whose end is not ours; nor may we hold its streams open.
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
            if _peer(link) and not os.fork():
                door.close()
                try:
                    _be_plugin(link, watch, serve)
                except Exception:  # noqa: BLE001  # as Python itself would say it, had it started the plugin
                    sys.excepthook(*sys.exc_info())
                finally:
                    os._exit(1)


def _be_plugin(link: socket.socket, watch: int, serve: "Callable[[list[str]], object]") -> None:
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
    os.setpgid(0, os.getpgid(_peer(link)))
    link.settimeout(None)
    link.sendall(str(os.getpid()).encode())
    serve(arguments)
