"""`slip version`: Slipway's version, and those of the tools that it uses, installed or not."""

import json
import platform
from concurrent.futures import ThreadPoolExecutor

from cli import console
from cli.stack.project import Project
from cli.stack.tool_output import tool_output

VERSION = "0.9.0"
"""Slipway's version. A release changes it, and tags its commit `v<version>`."""
MISSING = "not installed"


def own() -> str:
    """Slipway's version, with the commit of a clone that is not at the release's tag: `0.9.0+1a2b3c4`."""
    root = Project.here().root
    if not (root / ".git").exists():
        return VERSION
    options = ["--always", "--dirty", "--match", f"v{VERSION}", "--exclude", "*-*", "--abbrev=7"]
    described = tool_output(["git", "-C", str(root), "describe", *options], "git")
    if not described or described == f"v{VERSION}":
        return VERSION
    return f"{VERSION}+{described.removeprefix(f'v{VERSION}-').replace('-', '.')}"


def everything() -> dict[str, str]:
    """The version of each part, by its name."""
    with ThreadPoolExecutor() as pool:
        slipway, engine = pool.submit(own), pool.submit(_docker)
        return {
            "slipway": slipway.result(),
            "pulumi": _pulumi(),
            **_plugins(),
            **engine.result(),
            "python": platform.python_version(),
        }


def _pulumi() -> str:
    from toolchain import pulumi_cli, versions

    # Only a CLI of the pinned version is ever used.
    return (
        versions.pulumi()
        if pulumi_cli.find()
        else f"{MISSING} ({versions.pulumi()} is, by the first `./slip up`)"
    )


def _plugins() -> dict[str, str]:
    from toolchain import plugins, versions

    home = plugins.find()
    kind = MISSING if home is None else "official" if plugins.is_official(home) else "stand-in"
    return {f"pulumi-{name}": f"{number} ({kind})" for name, number in sorted(versions.plugins().items())}


def _docker() -> dict[str, str]:
    said = tool_output(["docker", "version", "--format", "json"], "docker")
    try:
        found = json.loads(said) if said else {}
    except ValueError:
        found = {}
    client, server = found.get("Client") or {}, found.get("Server") or {}
    return {
        "docker (client)": str(client.get("Version") or MISSING),
        "docker (engine)": str(server.get("Version") or "does not answer"),
    }


def run(*, as_json: bool) -> None:
    """Print the versions."""
    found = everything()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    width = max(map(len, found))
    for name, number in found.items():
        console.result(f"{name:<{width}}  {number}")
