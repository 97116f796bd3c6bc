"""What every plugin imports, in as little time as possible.

Python's own start-up files are skipped (`-I -S`), and the generated gRPC messages are taken out of the `pulumi` package
without running that package, which would import the whole SDK.
"""

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LATER = [
    "plugins.docker.plugin",
    "plugins.command.plugin",
    # The slowest imports of a plugin's first operation, in parts: a plugin's request waits for one part at most.
    *("urllib3", "requests", "docker.utils", "plugins.docker.client"),
    # The last one imports asyncssh without its search for C libraries, as no direct import of asyncssh does.
    *("asyncio", "cryptography.hazmat.primitives.serialization", "plugins.command.ssh"),
]
"""What the plugins after the first one import, or may import."""


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
    """Import `grpc` without its asyncio half, which no plugin uses and which is a third of its import time."""
    from importlib import import_module
    from types import ModuleType
    from typing import Any

    class Later(ModuleType):
        """Stands for a module and imports it when an attribute of it is used."""

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            sys.modules.pop(self.__name__, None)
            return getattr(import_module(self.__name__), name)

    sys.modules["grpc.aio"] = Later("grpc.aio")
    sys.modules["asyncio"] = Later("asyncio")
    import_module("grpc")
    # Later imports of asyncio get the real module.
    sys.modules.pop("asyncio")


def import_common() -> None:
    """Import what every plugin needs.

    The garbage collector is off until `import_plugin` has returned: imports leave no garbage behind.
    """
    gc.disable()
    _find_packages()
    _stub_pulumi()
    _import_grpc()
    import plugins.protocol.server  # noqa: F401


def import_plugin(name: str) -> "Any":
    """Import and return the package of the plugin `name`."""
    from importlib import import_module

    plugin = import_module(f"plugins.{name}")
    gc.freeze()
    gc.enable()
    return plugin
