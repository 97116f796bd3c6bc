"""A process that has imported what every plugin needs, and forks a child for each plugin that the Pulumi CLI starts.

An update starts a plugin for each host and a few more, and most of a start is imports. The fork server does the imports
once for each CLI. The language host's launcher starts it, or else the first plugin forks it off. Each later plugin
process sends its arguments, environment and standard streams to it (`client.py`); the fork server's child serves the
engine, and the plugin process only waits for that child. The child joins the plugin's process group, so it receives
the group's signals. If the fork server cannot be reached, a plugin starts by itself.
"""

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from typing import NoReturn

from plugins.start.client import TIMEOUT, address, peer

Serve = Callable[[list[str], Callable[[float], bool]], object]
"""Serves the plugin that the arguments name, until the function, which waits so many seconds, returns true: the CLI
has ended."""

_LONGEST = 1 << 20
"""Bytes of arguments and environment at most. A plugin that has more starts by itself."""

_SIGNALS = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start_from_plugin(modules: list[str], serve: Serve) -> None:
    """Fork the fork server off this process, the CLI's first plugin.

    Call it before the first thread starts. The fork server imports the `modules`, which later plugins may need, one
    after another while no plugin asks for a child.
    """
    place = _listen(os.getppid())
    if place is None:
        return
    listener, cli = place
    if os.fork():
        listener.close()
        os.close(cli)
        return
    _run(listener, cli, modules, serve)


def start_for_cli(cli: int, prepare: Callable[[], None], modules: list[str], serve: Serve) -> None:
    """Be the fork server of the CLI that is process `cli` until the CLI ends.

    Return if the CLI has a fork server already, or cannot have one. `prepare` imports what every plugin needs; a plugin
    that starts before `prepare` has returned starts by itself.
    """
    place = _listen(cli)
    if place is not None:
        prepare()
        _run(*place, modules, serve)


def _listen(cli: int) -> tuple[socket.socket, int] | None:
    """Bind the address of the CLI's fork server; return the socket and the CLI's pidfd, or None if that fails."""
    # A plugin whose parent is process 1 has lost its CLI, so its fork server would never end.
    if not hasattr(os, "pidfd_open") or cli == 1:
        return None
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(address(cli))
        return listener, os.pidfd_open(cli)
    except OSError:
        listener.close()
        return None


def _run(listener: socket.socket, cli: int, modules: list[str], serve: Serve) -> NoReturn:
    try:
        _fork_plugins(listener, cli, modules, serve)
    finally:
        os._exit(1)


def _fork_plugins(listener: socket.socket, cli: int, modules: list[str], serve: Serve) -> None:
    # Leave the first plugin's process group, so that its signals do not reach the fork server; close its streams.
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    # Only the CLI's end stops the fork server. Its children get signals of their own.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    listener.listen(64)
    while True:
        ready, _, _ = select.select([listener.fileno(), cli], [], [], 0 if modules else None)
        if cli in ready:
            os._exit(0)
        if not ready:
            with contextlib.suppress(Exception):  # a plugin that needs the module reports the error
                import_module(modules.pop(0))
            continue
        link, _ = listener.accept()
        with link:
            if peer(link) and not os.fork():
                listener.close()
                try:
                    _be_plugin(link, cli, serve)
                except Exception:  # noqa: BLE001  # print it as Python would if it had started the plugin
                    sys.excepthook(*sys.exc_info())
                finally:
                    os._exit(1)


def _be_plugin(link: socket.socket, cli: int, serve: Serve) -> None:
    """Take over the arguments, environment, folder and streams of the plugin process, and serve."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    link.settimeout(TIMEOUT)
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
    # The parent of this process is the fork server, so the end of the parent does not show that the CLI has ended.
    serve(arguments, lambda seconds: bool(select.select([cli], [], [], seconds)[0]))
