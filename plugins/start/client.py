"""Asks the fork server to run a plugin in place of this process.

Every start of a plugin waits for this module, so it avoids imports that take Python milliseconds: `signal` and `socket`
are mostly names around `_signal` and `_socket`.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import os
import sys

TIMEOUT = 5.0
"""Seconds to wait for the fork server, which answers in milliseconds. After that the plugin starts by itself."""


def address(cli: int) -> str:
    """The abstract address of the fork server of this user for the CLI that is process `cli`."""
    return f"\0slipway-plugins/{os.getuid()}/{cli}"


def peer(link: _socket.socket) -> int:
    """The process id at the other end; 0 if that process is another user's or cannot be seen.

    Any user may listen on, or connect to, an abstract address.
    """
    credentials = link.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    process, user = (int.from_bytes(credentials[at : at + 4], sys.byteorder) for at in (0, 4))
    return process if user == os.getuid() else 0


def run_in_fork_server(arguments: list[str]) -> None:
    """Have a child of the fork server serve in place of this process, and end with it.

    Return if the CLI has no fork server.
    """
    if not hasattr(os, "pidfd_open"):
        return
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        link.settimeout(TIMEOUT)
        link.connect(address(os.getppid()))
        if not peer(link):
            return
        environment = [f"{name}={value}" for name, value in os.environ.items()]
        message = "\0".join([os.getcwd(), str(len(arguments)), *arguments, *environment]).encode(
            errors="surrogateescape"
        )
        streams = b"".join(stream.to_bytes(4, sys.byteorder) for stream in (0, 1, 2))
        link.sendmsg([len(message).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
        link.sendall(message)
        child = int(link.recv(20) or b"0")
        if not child:
            raise OSError("the fork server has ended")
        link.settimeout(None)
        for number in (_signal.SIGINT, _signal.SIGTERM):
            _signal.signal(number, lambda number, _: _pass_on(number, child))
    except OSError:
        link.close()
        return
    try:
        link.recv(1)  # the child sends nothing, and its end of the link closes when the child ends
    finally:
        os._exit(0)


def _pass_on(number: int, child: int) -> None:
    try:  # noqa: SIM105  # contextlib takes milliseconds to import
        os.kill(child, number)
    except ProcessLookupError:
        pass  # the child is in our process group, so the same signal has already ended it
