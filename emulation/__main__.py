"""`python -m emulation SETTINGS`: one emulated account, until it is told to end.

SETTINGS is a JSON file: `Settings`. What others need to know of this process is in `daemon.json` next to it.
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
"""The API's port, on an address of the account's own. Other emulators have the same one."""
NETWORKS = 256
UNREADABLE = 3
"""Exit status where the account's copy cannot be read. Whoever removes it starts over."""


@dataclass(frozen=True)
class Settings:
    """What the emulation is told at its start."""

    stack: str
    """Name of the stack, the first part of containers' names."""
    image: str
    """The image that instances boot."""
    version: str
    """Of the program that starts it; it comes back in `daemon.json`."""


def main() -> int:
    """Run the emulation. Returns the exit status."""
    os.umask(0o077)  # user data has hosts' keys
    path = Path(sys.argv[1])
    directory = path.parent
    settings = Settings(**json.loads(path.read_text()))
    lock = (directory / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another process emulates this stack", flush=True)
        return 1
    known = _known(directory)
    key = known.get("key") or f"AKIA{secrets.token_hex(8).upper()}"
    over = threading.Event()
    network, server = _listen(directory, str(known.get("network", "")))

    account = Account(directory, network)
    if not account.restore():
        print("the account's copy is of another version", flush=True)
        return UNREADABLE
    reconciler = Reconciler(account, directory, settings.stack, settings.image)
    from emulation.api import Api

    server.app = Api(account, reconciler, key, over.set)
    try:
        # After a restart of this machine: its containers are stopped, its loop devices gone.
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


def _known(directory: Path) -> dict[str, str]:
    """What the process before this one announced."""
    try:
        known: dict[str, str] = json.loads((directory / "daemon.json").read_text())
    except (OSError, ValueError):
        return {}
    return known


def _listen(directory: Path, before: str) -> tuple[str, BaseWSGIServer]:
    """A network of this machine that no other emulation has, the same one as before if possible, and its server."""
    first = zlib.crc32(str(directory.resolve()).encode())
    others = [f"127.77.{(first + step) % NETWORKS}" for step in range(NETWORKS)]
    for network in [before, *others] if before else others:
        try:
            opened = socket.create_server((f"{network}.1", PORT))
        except OSError:
            continue
        return network, make_server(f"{network}.1", PORT, _not_yet, threaded=True, fd=opened.detach())
    raise SystemExit(f"port {PORT} is taken on every address 127.77.x.1")


def _not_yet(environment: object, start: object) -> list[bytes]:
    """What the server is made with, before there is an account."""
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
