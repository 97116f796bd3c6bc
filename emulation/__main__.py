"""`python -m emulation SETTINGS`: emulates one account until it gets a signal or a request to end.

SETTINGS is the path of a JSON file, see `Settings`. Clients find the endpoint and the access key in `daemon.json` in
the same directory.
"""

import fcntl
import json
import os
import secrets
import signal
import socket
import sys
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

from werkzeug.serving import BaseWSGIServer, make_server

from emulation.account import Account
from emulation.errors import Refused
from emulation.reconciler import Reconciler

PORT = 4566
"""The API's port, on an address that only this account uses. LocalStack uses the same port."""
NETWORKS = 256
"""The networks to choose from: 127.77.0 to 127.77.255."""
UNREADABLE = 3
"""Exit status if the saved account cannot be read. After its removal the emulation starts with an empty account."""


@dataclass(frozen=True)
class Settings:
    """The content of the settings file."""

    stack: str
    """Name of the stack. Containers' names begin with it."""
    image: str
    """The image that instances boot."""
    version: str
    """The version of the program that starts the emulation. It is copied to `daemon.json`."""


def main() -> int:
    """Run the emulation. Returns the exit status."""
    os.umask(0o077)  # user data contains the hosts' private keys
    path = Path(sys.argv[1])
    directory = path.parent
    settings = Settings(**json.loads(path.read_text()))
    lock = (directory / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another process emulates this stack", flush=True)
        return 1
    previous = _previous(directory)
    key = previous.get("key") or f"AKIA{secrets.token_hex(8).upper()}"
    over = threading.Event()
    network, server = _listen(directory, str(previous.get("network", "")))

    account = Account(directory, network)
    if not account.restore():
        print("the saved account is from another version of moto", flush=True)
        return UNREADABLE
    reconciler = Reconciler(account, directory, settings.stack, settings.image)
    from emulation.api import Api

    server.app = Api(account, reconciler, key, directory / "actions", over.set)
    try:
        # After a restart of this machine the containers are stopped and the loop devices are gone.
        reconciler.reconcile()
    except Refused as refused:
        print(refused.message, flush=True)
        return 1
    account.save()
    _announce(directory, key, network, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    over.wait()
    server.shutdown()
    return 0


def _previous(directory: Path) -> dict[str, str]:
    """The content of the previous process's `daemon.json`; empty if it is missing or broken."""
    try:
        previous: dict[str, str] = json.loads((directory / "daemon.json").read_text())
    except (OSError, ValueError):
        return {}
    return previous


def _listen(directory: Path, previous: str) -> tuple[str, BaseWSGIServer]:
    """Choose a network that no other emulation uses, the previous one if it is free. Returns it with its server."""
    first = zlib.crc32(str(directory.resolve()).encode())
    others = [f"127.77.{(first + step) % NETWORKS}" for step in range(NETWORKS)]
    for network in [previous, *others] if previous else others:
        try:
            opened = socket.create_server((f"{network}.1", PORT))
        except OSError:
            continue
        return network, make_server(f"{network}.1", PORT, _not_yet, threaded=True, fd=opened.detach())
    raise SystemExit(
        f"port {PORT} is in use on every address 127.77.x.1; stop an emulation or another program there"
    )


def _not_yet(environment: object, start: object) -> list[bytes]:
    """The server's application until the account is loaded."""
    raise RuntimeError("the emulation is not ready")


def _announce(directory: Path, key: str, network: str, settings: Settings) -> None:
    content = {
        "pid": os.getpid(),
        "endpoint": f"http://{network}.1:{PORT}",
        "network": network,
        "key": key,
        "version": settings.version,
    }
    new = directory / "daemon.json.new"
    new.touch(mode=0o600)
    new.write_text(json.dumps(content))
    new.replace(directory / "daemon.json")


if __name__ == "__main__":
    sys.exit(main())
