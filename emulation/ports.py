"""Public addresses: connections to one of 127.0.0.0/8 are passed on to the instance that has it.

Who may connect is what the security groups say. This machine's connections come from 127.0.0.1, unless a program
binds another address of 127.0.0.0/8: that one is somebody else's then.
"""

import asyncio
import contextlib
import ipaddress
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from emulation.wanted import Machine, Network

PIECE = 1 << 18
"""Bytes that are passed on at a time."""
CONNECT_SECONDS = 5.0
"""Longest that an instance may take to accept a connection: it is on this machine."""
Address = tuple[str, int]


@dataclass(frozen=True)
class Route:
    """Where connections to a public address and port go, and who may make them."""

    target: Address
    sources: tuple[Network, ...]


def routes(machines: Iterable[Machine]) -> dict[Address, Route]:
    """The routes to the machines that run and have a public address."""
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
        """Start the thread; there is no route yet."""
        self._routes: Mapping[Address, Route] = {}
        self._servers: dict[Address, asyncio.Server] = {}
        self._open: dict[asyncio.Task[None], Address] = {}
        """The connections under way, and which instance's port each leads to."""
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def update(self, wanted: Mapping[Address, Route]) -> None:
        """Listen for just these; returns once that is so.

        Raises:
            OSError: another program has one of the addresses and ports.

        """
        asyncio.run_coroutine_threadsafe(self._update(wanted), self._loop).result()

    async def _update(self, wanted: Mapping[Address, Route]) -> None:
        self._routes = wanted
        for address in self._servers.keys() - wanted.keys():
            self._servers.pop(address).close()
        for address in wanted.keys() - self._servers.keys():
            self._servers[address] = await asyncio.start_server(self._serve, *address, limit=PIECE)

    def cut(self, private_address: str) -> None:
        """End all connections to an instance that is about to stop: a network that is gone says nothing to anybody."""
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
        assert task is not None  # noqa: S101 - for the type checker: a server's callback is one
        self._open[task] = route.target
        try:
            await _connect(reader, writer, route.target)
        finally:
            del self._open[task]
            writer.transport.abort()


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Address) -> None:
    """Pass on both directions of a connection until both have ended."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            inner_reader, inner_writer = await asyncio.open_connection(*target, limit=PIECE)
    except (OSError, TimeoutError):
        return
    try:
        await asyncio.gather(_pass_on(reader, inner_writer), _pass_on(inner_reader, writer))
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()
    except OSError:
        pass  # one end is gone: so is the connection
    finally:
        inner_writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction of a connection, until its end; an end is passed on too, since the other direction may go on."""
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
