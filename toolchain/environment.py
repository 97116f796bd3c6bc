"""The environment of Pulumi commands: checked before every command, and prepared if something is missing."""

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine_socket import EngineUnreachable
from toolchain import (
    cache,
    commands,
    docker_engine,
    docker_socket,
    images,
    language_host,
    plugins,
    pulumi_cli,
)
from toolchain.errors import ToolError
from toolchain.report import Report

if TYPE_CHECKING:
    from rich.console import Console

Need = Literal["pulumi", "engine", "images"]
"""`pulumi`: the CLI, the language host and the plugins. `engine`: a Docker Engine on this machine. `images`: the images
that it needs for local hosts."""

EVERYTHING: tuple[Need, ...] = ("pulumi", "engine", "images")


@dataclass(frozen=True)
class Environment:
    """A prepared machine."""

    pulumi: Path
    """The Pulumi CLI."""
    plugins: Literal["official", "stand-ins"]
    """Which provider plugins the CLI uses."""
    variables: dict[str, str] = field(repr=False)
    """Environment variables for every `pulumi` command and for a shell in which people run `pulumi`."""


def prepare(report: "Report | Console | None" = None, needs: Collection[Need] = EVERYTHING) -> Environment:
    """Install what is missing, with one printed line for each step. Returns the environment.

    If nothing is missing, it prints nothing and takes a few milliseconds. An interrupted run leaves complete steps,
    and the next run does the others. A second run waits for the first.

    Args:
        report: a report or the console to print on; standard error by default.
        needs: what the command needs. `images` implies `engine`.

    Raises:
        ToolError: something is missing and cannot be installed; one sentence with the remedy.
        KeyboardInterrupt: the user or a signal stopped it, and all running steps with it.
    """
    environment = _ready(needs)
    if environment:
        return environment
    from toolchain.plan import Plan  # slow to import, and needed only if something is missing

    if not isinstance(report, Report):
        report = Report(report)

    def waiting(holder: str) -> None:
        process = f" (process {holder})" if holder else ""
        report.say(
            f"… waiting for another run{process}, or a build that it left, which prepares this machine"
        )

    with commands.ended_by_signals(), cache.lock("toolchain", waiting) as lock:
        cache.sweep()
        # Twice: if the stand-ins' sources change meanwhile, they must be installed again.
        for _ in range(2):
            Plan(report, lock, needs).run()
            if environment := _ready(needs):
                return environment
    raise ToolError(
        f"the files that were just installed in {cache.root()} are missing: "
        "stop the program that removes them, or set SLIPWAY_CACHE to another directory"
    )


def _ready(needs: Collection[Need]) -> Environment | None:
    """The environment if nothing is missing, else None. Quick, since it runs before every command."""
    cli = pulumi_cli.find()
    home = plugins.find()
    if "pulumi" in needs and (cli is None or home is None or language_host.find(cli) is None):
        return None
    try:
        if "images" in needs and images.missing():
            return None
        if "engine" in needs and not docker_engine.answers():
            return None
    except EngineUnreachable:
        return None
    # A command that does not need Pulumi gets the paths that the CLI would have.
    cli = cli or pulumi_cli.directory() / "pulumi"
    home = home or cache.root() / "pulumi-home" / "none"
    return Environment(
        pulumi=cli,
        plugins="official" if plugins.is_official(home) else "stand-ins",
        variables=_variables(cli, home),
    )


def _variables(cli: Path, home: Path) -> dict[str, str]:
    first = [str(Path(sys.executable).parent), str(cli.parent)]
    rest = [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part not in first]
    variables = {
        "PATH": os.pathsep.join([*first, *rest]),
        "PULUMI_HOME": str(home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "VIRTUAL_ENV": sys.prefix,
    }
    if credentials := _users_credentials():
        variables["PULUMI_CREDENTIALS_PATH"] = str(credentials)
    if "DOCKER_HOST" not in os.environ and (endpoint := docker_socket.endpoint()) != docker_socket.DEFAULT:
        # The plugins do not know the docker CLI's contexts.
        variables["DOCKER_HOST"] = endpoint
    return variables


def _users_credentials() -> Path | None:
    """The directory of the user's Pulumi login. Without it, our PULUMI_HOME would hide the login."""
    if "PULUMI_CREDENTIALS_PATH" in os.environ:
        return None
    own = cache.root() / "pulumi-home"
    chosen = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    if chosen.is_relative_to(own):
        chosen = Path.home() / ".pulumi"  # a shell prepared by `slip env`
    return chosen if (chosen / "credentials.json").exists() else None
