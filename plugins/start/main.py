"""The program behind every `pulumi-resource-NAME`: `python -I -S main.py NAME [OPTION…] ENGINE_ADDRESS`.
`main.py nursery PID` prepares for the plugins of the Pulumi CLI that is process PID, ahead of the first.

A plugin starts once for each provider of a stack, on every preview and update, so its start is kept short:
Python's own start-up files are skipped (`-I -S`), and the generated gRPC messages are taken out of the
`pulumi` package without running that package, which would import the whole SDK.
"""

import gc
import os
import sys

NAMES = ("aws", "command", "docker", "tls")
LATER = [
    "plugins.docker.plugin",
    "plugins.command.plugin",
    # What takes longest at a plugin's first operation; some pieces first, so that nobody waits long.
    *("urllib3", "requests", "docker.utils", "plugins.docker.client"),
    *(
        "asyncio",
        "cryptography.hazmat.primitives.serialization",
        "asyncssh.connection",
        "plugins.command.ssh",
    ),
]
"""What plugins after the first need, or may need."""


def _find_packages() -> None:
    """Put the environment's site-packages on `sys.path`."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    environment = os.path.dirname(os.path.dirname(sys.executable))
    packages = os.path.join(environment, "lib", version, "site-packages")
    if os.path.isdir(os.path.join(packages, "grpc")):
        sys.path.append(packages)
    else:
        import site  # not a virtual environment: let Python find its packages itself

        site.main()


def _stub_pulumi() -> None:
    """Make `pulumi.runtime.proto` importable without running `pulumi/__init__.py` and what that imports."""
    from importlib.util import find_spec
    from types import ModuleType

    specification = find_spec("pulumi")
    if specification is None or specification.origin is None:
        raise SystemExit("the Python package `pulumi` is missing from this plugin's environment")
    directory = os.path.dirname(specification.origin)
    for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        module = ModuleType(name)
        module.__path__ = [os.path.join(directory, *name.split(".")[1:])]
        sys.modules[name] = module


def _import_grpc() -> None:
    """Import `grpc` without its asyncio half, which nobody here uses and which is a third of its time."""
    from importlib import import_module
    from types import ModuleType
    from typing import Any

    class Later(ModuleType):
        """Stands for a module until somebody asks for something in it."""

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            sys.modules.pop(self.__name__, None)
            return getattr(import_module(self.__name__), name)

    sys.modules["grpc.aio"] = Later("grpc.aio")
    sys.modules["asyncio"] = Later("asyncio")
    import_module("grpc")
    # Who imports it from now on wants it.
    sys.modules.pop("asyncio")


def _prepare() -> None:
    """Import what every plugin needs."""
    # Nothing that an import leaves behind is garbage.
    gc.disable()
    _find_packages()
    _stub_pulumi()
    _import_grpc()
    import plugins.protocol.server  # noqa: F401


def _serve(arguments: list[str]) -> None:
    """Be the plugin that the first argument names."""
    from importlib import import_module

    from plugins.protocol import server as host

    plugin = import_module(f"plugins.{arguments[0]}")
    gc.freeze()
    gc.enable()
    host.serve(plugin.provider(), arguments[1:])


def main() -> None:
    """Serve the plugin that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in (*NAMES, "nursery"):
        raise SystemExit(f"usage: main.py {'|'.join(NAMES)} [OPTION…] ENGINE_ADDRESS, or main.py nursery PID")
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    if sys.argv[1] == "nursery":
        from plugins.start import fork_server as nursery

        nursery.keep(int(sys.argv[2]), _prepare, LATER, _serve)
        return
    from plugins.start.hand_over import hand_over

    hand_over(sys.argv[1:])
    _prepare()
    from plugins.start import fork_server as nursery

    nursery.leave(LATER, _serve)
    _serve(sys.argv[1:])


if __name__ == "__main__":
    main()
