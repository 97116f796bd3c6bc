"""Stand-ins for commands of a host that this process answers: a start of Python takes longer than a whole script.

A function gets the folder of the host, the command's arguments, its standard input, and a file to print to.
`SystemExit` and other errors end the command as they end a program.
"""

import io
import shlex
import socket
import threading
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TextIO

Answer = Callable[[Path, list[str], str, TextIO], None]
"""Of a folder, arguments, standard input, and the file to print to."""
_ANSWERS: dict[str, Answer] = {}


def called(answer: Answer, folder: Path, reads: str = "false") -> str:
    """Lines of bash that have the function answer, with the script's arguments.

    Args:
        answer: the function.
        folder: the folder that it gets.
        reads: a condition of bash: whether the command reads its standard input.
    """
    name = f"{answer.__module__}.{answer.__qualname__}"
    _ANSWERS[name] = answer
    return f"""
given='' said='' wrong=''
if {reads}; then IFS= read -rd '' given || true; fi
exec 9<>/dev/tcp/127.0.0.1/{_port()}
printf '%s\\0' {name} {shlex.quote(str(folder))} "$#" "$@" "$given" >&9
{{ IFS= read -rd '' status && IFS= read -rd '' said && IFS= read -rd '' wrong; }} <&9 || status=1
exec 9>&-
printf %s "$said"
printf %s "$wrong" >&2
[ "$status" = 0 ] || exit "$status"
"""


@cache
def _port() -> int:
    """Start to answer, until this process ends."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    threading.Thread(target=_serve, args=(listening,), daemon=True).start()
    return int(listening.getsockname()[1])


def _serve(listening: socket.socket) -> None:
    # One call after another: the functions read and write files of the host.
    while True:
        connection, _ = listening.accept()
        with connection, connection.makefile("rwb") as stream:
            try:
                stream.write(
                    b"".join(part.encode(errors="surrogateescape") + b"\0" for part in _answer(stream))
                )
                stream.flush()
            except OSError:
                continue  # the script was killed


def _answer(stream: io.BufferedRWPair) -> tuple[str, str, str]:
    """Exit status, output and error output."""
    received = b""

    def field() -> str:
        nonlocal received
        while b"\0" not in received:
            part = stream.read1(65536)
            if not part:
                raise BrokenPipeError
            received += part
        value, _, received = received.partition(b"\0")
        # As Python reads arguments.
        return value.decode(errors="surrogateescape")

    name, folder, count = field(), Path(field()), int(field())
    arguments = [field() for _ in range(count)]
    output = io.StringIO()
    try:
        _ANSWERS[name](folder, arguments, field(), output)
    except SystemExit as end:
        code = end.code or 0
        return (
            (str(code), output.getvalue(), "")
            if isinstance(code, int)
            else ("1", output.getvalue(), f"{code}\n")
        )
    except Exception:  # noqa: BLE001 - as Python ends a program
        return "1", output.getvalue(), traceback.format_exc()
    return "0", output.getvalue(), ""
