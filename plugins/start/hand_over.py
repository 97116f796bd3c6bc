"""Hands what a plugin was started with over to the nursery, which has imported what plugins need (nursery.py).

Every start of a plugin waits for this module, so it does without what Python takes milliseconds to import: `signal` and
`socket` are for the most part names around `_signal` and `_socket`.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import os
import sys

PATIENCE = 5.0
"""Seconds to wait for the nursery's word before starting without it; it takes milliseconds."""


def address(cli: int) -> str:
    """The abstract address of the nursery of this user and this CLI."""
    return f"\0slipway-plugins/{os.getuid()}/{cli}"


def peer(link: _socket.socket) -> int:
    """The process at the other end; 0 if it is not this user's, or not to be seen: anybody may use such an address."""
    credentials = link.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    process, user = (int.from_bytes(credentials[at : at + 4], sys.byteorder) for at in (0, 4))
    return process if user == os.getuid() else 0


def hand_over(arguments: list[str]) -> None:
    """Let the nursery's child serve in place of this process, and end with it; return if there is no nursery."""
    if not hasattr(os, "pidfd_open"):
        return
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        link.settimeout(PATIENCE)
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
            raise OSError("the nursery has ended")
        link.settimeout(None)
        for number in (_signal.SIGINT, _signal.SIGTERM):
            _signal.signal(number, lambda number, _: _pass_on(number, child))
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
