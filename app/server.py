"""The sample app: a greeting, and a health check that Slipway's proxy asks before it sends people here."""

import json
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import waitress

CONFIG = json.loads(Path(__file__).with_name("config.json").read_text())


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A WSGI application with two pages: `/` greets, `/up` tells that it is ready."""
    match environ["PATH_INFO"]:
        case "/":
            status, body = "200 OK", f"{CONFIG['greeting']}, from {socket.gethostname()}\n"
        case "/up":
            status, body = "200 OK", "ok\n"
        case _:
            status, body = "404 Not Found", "not found\n"
    payload = body.encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(payload)))]
    start_response(status, headers)
    return [payload]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    # As the first process of a container it gets no default handling of SIGTERM from the kernel.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    waitress.serve(app, host="0.0.0.0", port=CONFIG["port"], threads=8)  # noqa: S104
