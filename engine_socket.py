"""A question to a Docker Engine over its Unix socket. Imports `socket` alone: every `slip up` asks one."""

import socket


class EngineUnreachable(Exception):
    """The Docker Engine does not answer; the text says why."""


def get(path: str, address: str, timeout: float) -> bytes:
    """The body of the engine's answer to GET `address`; see `ask`."""
    return ask(path, address, timeout)[1]


def ask(path: str, address: str, timeout: float) -> tuple[str, bytes]:
    """GET `address`, such as `/_ping`, from the engine whose socket is at `path`. Returns the answer's head and body.

    Args:
        path: the socket's path.
        address: the path and query of the request.
        timeout: seconds that each step may take: to connect, to send, to receive a part.

    Raises:
        EngineUnreachable: nothing listens there, it does not answer in time, or its answer is not 200.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            # HTTP/1.0: the answer comes in one piece and ends with the connection.
            connection.sendall(f"GET {address} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError as error:
        raise EngineUnreachable(error.strerror or str(error)) from error
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].decode(errors="replace")
    if " 200 " not in f"{status} ":
        raise EngineUnreachable(f"it answered {status or 'nothing'}")
    return head.decode(errors="replace"), body
