"""Public addresses: connections to an address in 127.0.0.0/8 are forwarded to the instance that has it.

The security groups decide who may connect. Connections of this machine come from 127.0.0.1; a program can bind another
address in 127.0.0.0/8 to play another client.
"""

import asyncio
import contextlib
import ipaddress
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from emulation.desired import Machine, Network

PIECE = 1 << 18
"""Bytes that are forwarded at a time."""
CONNECT_SECONDS = 5.0
"""Longest time for an instance, which is on this machine, to accept a connection."""
Address = tuple[str, int]


@dataclass(frozen=True)
class Route:
    """The target of connections to a public address and port, and the networks that may connect."""

    target: Address
    sources: tuple[Network, ...]


def routes(machines: Iterable[Machine]) -> dict[Address, Route]:
    """The routes to the running instances that have a public address."""
    found: dict[Address, Route] = {}
    for machine in machines:
        if not machine.running or not machine.public_address:
            continue
        for opening in machine.openings:
            for port in opening.ports:
                address = (machine.public_address, port)
                before = found[address].sources if address in found else ()
                found[address] = Route((machine.private_address, port), (*before, opening.sources))
    return found


class Forwarder:
    """Listens on public addresses, in a thread of its own."""

    def __init__(self) -> None:
        """Start the thread, without routes."""
        self._routes: Mapping[Address, Route] = {}
        self._servers: dict[Address, asyncio.Server] = {}
        self._open: dict[asyncio.Task[None], Address] = {}
        """The open connections, and the target of each."""
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def update(self, desired: Mapping[Address, Route]) -> None:
        """Listen on the addresses of these routes and no others. Returns when that is so.

        Raises:
            OSError: another program uses one of the addresses and ports.

        """
        asyncio.run_coroutine_threadsafe(self._update(desired), self._loop).result()

    async def _update(self, desired: Mapping[Address, Route]) -> None:
        self._routes = desired
        for address in self._servers.keys() - desired.keys():
            self._servers.pop(address).close()
        for address in desired.keys() - self._servers.keys():
            self._servers[address] = await asyncio.start_server(self._serve, *address, limit=PIECE)

    def cut(self, private_address: str) -> None:
        """End all connections to an instance that stops. Its network disappears without closing the connections."""
        asyncio.run_coroutine_threadsafe(self._cut(private_address), self._loop).result()

    async def _cut(self, private_address: str) -> None:
        for task, (address, _) in list(self._open.items()):
            if address == private_address:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        route = self._routes.get(writer.get_extra_info("sockname")[:2])
        source = ipaddress.IPv4Address(writer.get_extra_info("peername")[0])
        if route is None or not any(source in network for network in route.sources):
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: a server's callback is a task
        self._open[task] = route.target
        try:
            await _connect(reader, writer, route.target)
        finally:
            del self._open[task]
            writer.transport.abort()


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Address) -> None:
    """Forward both directions of a connection until both have ended."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            inner_reader, inner_writer = await asyncio.open_connection(*target, limit=PIECE)
    except (OSError, TimeoutError):
        return
    try:
        await asyncio.gather(_forward(reader, inner_writer), _forward(inner_reader, writer))
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()
    except OSError:
        pass  # one end is gone, and the connection with it
    finally:
        inner_writer.transport.abort()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward one direction until its end, and the end, too: the other direction may continue."""
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
