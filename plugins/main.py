"""The program behind every `pulumi-resource-NAME`: `python -I -S main.py NAME [OPTION…] ENGINE_ADDRESS`.

A plugin starts once for each provider of a stack, on every preview and update, so its start is kept short:
Python's own start-up files are skipped (`-I -S`), and the generated gRPC messages are taken out of the
`pulumi` package without running that package, which would import the whole SDK.
"""

import gc
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


def _find_packages() -> None:
    """Put the environment's site-packages and this clone's (or plugin's) own directory on `sys.path`."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = Path(sys.executable).parent.parent / "lib" / version / "site-packages"
    if (packages / "grpc").is_dir():
        sys.path.append(str(packages))
    else:
        import site  # not a virtual environment: let Python find its packages itself

        site.main()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def _stub_pulumi() -> None:
    """Make `pulumi.runtime.proto` importable without running `pulumi/__init__.py` and what that imports."""
    specification = find_spec("pulumi")
    if specification is None or specification.origin is None:
        raise SystemExit("the Python package `pulumi` is missing from this plugin's environment")
    directory = Path(specification.origin).parent
    for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        module = ModuleType(name)
        module.__path__ = [str(directory.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module


class _Later(ModuleType):
    """Stands for a module until somebody asks for something in it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        sys.modules.pop(self.__name__, None)
        return getattr(import_module(self.__name__), name)


def _import_grpc() -> None:
    """Import `grpc` without its asyncio half, which nobody here uses and which is a third of its time."""
    sys.modules["grpc.aio"] = _Later("grpc.aio")
    sys.modules["asyncio"] = _Later("asyncio")
    import_module("grpc")
    # Who imports it from now on wants it.
    sys.modules.pop("asyncio")


def main() -> None:
    """Serve the plugin that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in ("aws", "command", "docker", "tls"):
        raise SystemExit("usage: main.py aws|command|docker|tls [OPTION…] ENGINE_ADDRESS")
    # Nothing that an import leaves behind is garbage.
    gc.disable()
    _find_packages()
    _stub_pulumi()
    _import_grpc()
    host = import_module("plugins.host")
    plugin = import_module(f"plugins.{sys.argv[1]}")
    gc.freeze()
    gc.enable()
    host.serve(plugin.provider(), sys.argv[2:])


if __name__ == "__main__":
    main()
