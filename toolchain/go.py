"""Builds programs from released Go modules, for networks from which the programs cannot be downloaded.

Each program has a module below `go/`, whose go.mod and go.sum pin everything that it is built from.
"""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from toolchain import cache, commands, versions
from toolchain.errors import ToolError

USUAL = Path("/usr/local/go/bin/go")
"""The compiler's path if Go was installed from its archive, whose directory is on the PATH of login shells only."""

MODULES = versions.REPOSITORY / "toolchain" / "go"


def build(
    module: str,
    package: str,
    target: Path,
    *,
    version_variable: str = "",
    version: str = "",
    tags: Sequence[str] = (),
    cgo: bool = False,
    lock: int | None = None,
) -> None:
    """Build the program `package` in the module `MODULES/module` and put it at `target`.

    Go caches what it has compiled, so an interrupted build continues.

    Args:
        module: a directory below `MODULES`.
        package: the program's import path.
        target: the executable's path.
        version_variable: the linker's name of the variable that holds the program's version.
        version: the variable's value.
        tags: build tags.
        cgo: whether it has parts in C, for which there has to be a C compiler.
        lock: the cache's lock, see `cache.lock`.

    Raises:
        ToolError: there is no Go, or the module cannot be downloaded or built.
    """
    with cache.staged(target) as directory:
        made = directory / target.name
        flags = "-s -w" + (f" -X {version_variable}={version}" if version_variable else "")
        commands.run(
            [
                compiler(target.name),
                "build",
                "-trimpath",
                "-buildvcs=false",
                "-mod=readonly",
                # Debugging tables are stripped anyway; not making them saves a sixth of the compiler's time.
                "-gcflags=all=-dwarf=false",
                f"-ldflags={flags}",
                f"-tags={','.join(tags)}",
                "-o",
                made,
                package,
            ],
            log=f"build-{target.name}",
            failure=f"{target.name} {version} cannot be built",
            directory=MODULES / module,
            variables={**variables(), "CGO_ENABLED": "1" if cgo else "0"},
            keep_open=() if lock is None else (lock,),
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        cache.publish(made, target)


def module_directory(module: str, dependency: str, lock: int | None = None) -> Path:
    """Download a dependency of `MODULES/module`. Returns the directory of its sources.

    Raises:
        ToolError: there is no Go, or the dependency cannot be downloaded.
    """
    log = f"download-{dependency.replace('/', '-')}"

    def run(*arguments: str) -> str:
        return commands.run(
            [compiler(dependency), *arguments],
            log=log,
            failure=f"the Go module {dependency} cannot be downloaded",
            directory=MODULES / module,
            variables=variables(),
            keep_open=() if lock is None else (lock,),
        )

    run("mod", "download", dependency)
    return Path(run("list", "-m", "-f", "{{.Dir}}", dependency).strip())


def compiler(program: str) -> str:
    """The `go` command's path. An error names `program`, which was to be built.

    Raises:
        ToolError: there is none.
    """
    found = shutil.which("go")
    if not found and USUAL.is_file():
        found = str(USUAL)
    if not found:
        raise ToolError(
            f"{program} can neither be downloaded nor built, because there is no Go on PATH: "
            f"open the network to Pulumi's and Docker's downloads, or install Go 1.25 or newer."
        )
    return found


def variables() -> dict[str, str]:
    """The environment variables of a build.

    With GOTOOLCHAIN=auto, a Go that is older than the module requires downloads a newer release from the module proxy.
    """
    values = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "auto"}
    if "HOME" not in os.environ and "GOCACHE" not in os.environ:
        # Go needs directories for its caches, and a service may have no home.
        values |= {"GOCACHE": str(cache.root() / "go-build"), "GOPATH": str(cache.root() / "go")}
    return values


def pinned(module: str, dependency: str) -> str:
    """The version, without `v`, at which go.mod of `MODULES/module` pins a dependency; empty if it does not."""
    text = (MODULES / module / "go.mod").read_text()
    match = re.search(rf"^(?:require )?\s*{re.escape(dependency)} v(\S+)", text, re.MULTILINE)
    return match.group(1) if match else ""
