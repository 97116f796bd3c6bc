"""The program behind every `pulumi-resource-NAME`: `python -I -S main.py NAME [OPTION…] ENGINE_ADDRESS`.
`main.py fork-server PID` starts the fork server of the Pulumi CLI that is process PID, before its first plugin.

The environment variable SLIPWAY_FORK_SERVER=off makes every plugin start by itself, without the fork server.

A plugin starts once for each provider of a stack, on every preview and update, so its start is kept short. Python
compiles this file at each start, unlike the modules that it imports, so the file is short, too.
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("aws", "command", "docker", "tls")
FORK_SERVER = "fork-server"
SWITCH = "SLIPWAY_FORK_SERVER"

_parent = os.getppid()


def main() -> None:
    """Serve the plugin that the first argument names, or be the fork server."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in (*NAMES, FORK_SERVER):
        raise SystemExit(
            f"usage: main.py {'|'.join(NAMES)} [OPTION…] ENGINE_ADDRESS, or main.py {FORK_SERVER} PID"
        )
    is_off = os.environ.get(SWITCH) == "off"
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    if arguments[0] != FORK_SERVER:
        _be_plugin(arguments, use_fork_server=not is_off)
    elif not is_off:
        _be_fork_server(int(arguments[1]))


def _be_plugin(arguments: list[str], *, use_fork_server: bool) -> None:
    if use_fork_server:
        from plugins.start.client import run_in_fork_server

        run_in_fork_server(arguments)
    from plugins.start.imports import LATER, import_common

    import_common()
    if use_fork_server:
        from plugins.start.fork_server import start_from_plugin

        start_from_plugin(LATER, _serve)
    _serve(arguments, _parent_ends)


def _be_fork_server(cli: int) -> None:
    from plugins.start.fork_server import start_for_cli
    from plugins.start.imports import LATER, import_common

    start_for_cli(cli, import_common, LATER, _serve)


def _serve(arguments: list[str], cli_ends: "Callable[[float], bool]") -> None:
    from plugins.protocol.server import serve
    from plugins.start.imports import import_plugin

    serve(import_plugin(arguments[0]).provider(), arguments[1:], cli_ends)


def _parent_ends(seconds: float) -> bool:
    """Wait so many seconds; return whether the parent, the Pulumi CLI, has ended."""
    time.sleep(seconds)
    return os.getppid() != _parent


if __name__ == "__main__":
    main()
