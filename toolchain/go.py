"""Building released Go modules, where the programs themselves cannot be downloaded.

Each program has a module of its own below `go/`, whose go.mod and go.sum pin all that goes into it.
"""

import os
import re
import shutil
from pathlib import Path

from toolchain import cache, commands, versions
from toolchain.errors import ToolError

USUAL = Path("/usr/local/go/bin/go")
"""Where Go's own archive is unpacked; only login shells learn of it."""

MODULES = versions.REPOSITORY / "toolchain" / "go"


def build(
    module: str,
    package: str,
    target: Path,
    *,
    version_variable: str = "",
    version: str = "",
    lock: int | None = None,
) -> None:
    """Build the program `package` in the module `MODULES/module` and put it at `target`.

    What was compiled stays in Go's own cache, so an interrupted build goes on where it was.

    Args:
        module: a directory below `MODULES`.
        package: the program's import path.
        target: the executable's path.
        version_variable: the variable that holds the program's version, as the linker knows it.
        version: what it is set to.
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
                # Debugging tables would be stripped anyway; not making them saves a sixth of the compiler's work.
                "-gcflags=all=-dwarf=false",
                f"-ldflags={flags}",
                "-o",
                made,
                package,
            ],
            log=f"build-{target.name}",
            failure=f"{target.name} {version} cannot be built",
            directory=MODULES / module,
            variables=variables(),
            keep_open=() if lock is None else (lock,),
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        cache.publish(made, target)


def module_directory(module: str, dependency: str, lock: int | None = None) -> Path:
    """Where the sources of a dependency of `MODULES/module` lie, once they are downloaded.

    Raises:
        ToolError: there is no Go, or it cannot be downloaded.
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


def compiler(wanted_for: str) -> str:
    """The `go` command's path.

    Raises:
        ToolError: there is none.
    """
    found = shutil.which("go")
    if not found and USUAL.is_file():
        found = str(USUAL)
    if not found:
        raise ToolError(
            f"{wanted_for} can neither be downloaded here nor built, because there is no Go on PATH: "
            f"open the network to Pulumi's and Docker's downloads, or install Go 1.25 or newer."
        )
    return found


def variables() -> dict[str, str]:
    """What a build adds to the environment.

    GOTOOLCHAIN: a Go that is too old fetches the release that the module asks for, through the same proxy as modules.
    A new enough one is used as it is.
    """
    values = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "auto"}
    if "HOME" not in os.environ and "GOCACHE" not in os.environ:
        # Go asks for a place for its caches; a service may have no home.
        values |= {"GOCACHE": str(cache.root() / "go-build"), "GOPATH": str(cache.root() / "go")}
    return values


def pinned(module: str, dependency: str) -> str:
    """The version, without `v`, at which go.mod of `MODULES/module` pins a dependency; empty if it does not."""
    text = (MODULES / module / "go.mod").read_text()
    match = re.search(rf"^(?:require )?\s*{re.escape(dependency)} v(\S+)", text, re.MULTILINE)
    return match.group(1) if match else ""
