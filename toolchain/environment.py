"""The environment in which Pulumi runs: checked before every command, and prepared where something is missing."""

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine_socket import EngineUnreachable
from toolchain import cache, docker_engine, docker_socket, images, language_host, plugins, pulumi_cli
from toolchain.errors import ToolError
from toolchain.report import Report

if TYPE_CHECKING:
    from rich.console import Console

Need = Literal["pulumi", "engine", "images"]
"""`pulumi`: the CLI, the language host and the plugins. `engine`: a Docker Engine on this machine. `images`: those
that it needs for local hosts."""

EVERYTHING: tuple[Need, ...] = ("pulumi", "engine", "images")


@dataclass(frozen=True)
class Environment:
    """A prepared machine."""

    pulumi: Path
    """The Pulumi CLI."""
    plugins: Literal["official", "stand-ins"]
    """Which provider plugins the CLI will find."""
    variables: dict[str, str] = field(repr=False)
    """What must be set in the environment of every `pulumi` command, and of a shell in which people use it."""


def prepare(report: "Report | Console | None" = None, needs: Collection[Need] = EVERYTHING) -> Environment:
    """Install what is missing, one printed line a step, and return how to use it.

    Where nothing is missing, nothing is printed and a few milliseconds pass. An interrupted run leaves whole steps
    only; the next one goes on with the others. Of two runs at once the second waits.

    Args:
        report: where to print: a console or a report; standard error by default.
        needs: what the command at hand cannot do without. `images` implies `engine`.

    Raises:
        ToolError: something is missing and cannot be had here; one sentence with the remedy.
        KeyboardInterrupt: the user stopped it; what was under way has been stopped too.
    """
    environment = _ready(needs)
    if environment:
        return environment
    from toolchain.plan import Plan  # slow to import, and not needed where nothing is missing

    if not isinstance(report, Report):
        report = Report(report)

    def waiting(holder: str) -> None:
        whom = f" (process {holder})" if holder else ""
        report.say(
            f"… another run{whom}, or what a killed one left behind, is still preparing this machine; waiting for it"
        )

    with cache.lock("toolchain", waiting) as lock:
        cache.sweep()
        # Twice, because an edit of the stand-ins in the meantime asks for other ones.
        for _ in range(2):
            Plan(report, lock, needs).run()
            if environment := _ready(needs):
                return environment
    raise ToolError(
        f"what was prepared in {cache.root()} is not there any more; is something cleaning that directory?"
    )


def _ready(needs: Collection[Need]) -> Environment | None:
    """The prepared environment, if nothing is missing. Quick: it runs before every command."""
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
    # Without the need there may be no CLI: the paths then say where it would be.
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
    """The directory of the user's own login, which a PULUMI_HOME of our own would hide."""
    if "PULUMI_CREDENTIALS_PATH" in os.environ:
        return None
    own = cache.root() / "pulumi-home"
    chosen = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    if chosen.is_relative_to(own):
        chosen = Path.home() / ".pulumi"  # a shell prepared by `slip env`
    return chosen if (chosen / "credentials.json").exists() else None
