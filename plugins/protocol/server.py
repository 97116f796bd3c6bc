"""Serves a plugin to the Pulumi engine over gRPC."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc

from plugins.protocol.provider import CHANNEL_OPTIONS, Provider
from plugins.protocol.service import NAME, Service, abort


class Calls:
    """Counts the calls that are being answered."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until no call is being answered, but at most so many `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count, seconds)


def start(provider: Provider, calls: Calls | None = None, *, threads: int = 256) -> tuple[grpc.Server, int]:
    """Start to answer the engine's `calls` to `provider`; return the server and its port on 127.0.0.1.

    Threads are created on demand. Many are allowed: a call can wait for a host for minutes, and the engine sends as
    many calls at once as `--parallel` allows.
    """
    calls = calls or Calls()

    def handler(respond: Callable[[Any], Any], request_type: Any) -> Any:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            with calls:
                try:
                    return respond(request)
                except Exception as error:  # noqa: BLE001  # every fault must reach the engine
                    abort(context, error, provider.name)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=request_type.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    handlers = {
        method: handler(respond, request_type)
        for method, (request_type, respond) in Service(provider).methods().items()
    }
    server = grpc.server(ThreadPoolExecutor(threads), options=CHANNEL_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def serve(provider: Provider, arguments: list[str], engine_ends: Callable[[float], bool]) -> NoReturn:
    """Serve `provider` until the engine stops the plugin or has ended.

    The engine reads the port from the first line of stdout, and gives its own address as the last of the
    `arguments`. `engine_ends(seconds)` waits so many seconds at most and returns whether the engine has ended: an
    engine that is killed sends no signal.
    """
    calls = Calls()

    def end(*_: object) -> NoReturn:
        # A second signal's handler would wait for a lock that the first one's handler holds.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        # The engine reads no more responses. Usually no call is running.
        try:
            provider.cancelled.set()
            provider.cancel()
            calls.wait(1.0)
        finally:
            os._exit(0)

    if arguments and not arguments[-1].startswith("-"):
        provider.engine.attach(arguments[-1])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    _server, port = start(provider, calls)
    print(port, flush=True)
    while not engine_ends(0.5):
        pass
    end()
