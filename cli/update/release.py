"""Release commands that were interrupted: nobody knows how far they came, so a person says whether they run again."""

import shlex
from collections.abc import Collection, Mapping
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running.host_report import HostReport
from cli.running.stack import running_of
from cli.stack.stack import Stack
from cli.update.aftermath import Aftermath
from well_known import SWITCH_SCRIPT_PATH


def allow(stack: Stack, services: Collection[str]) -> None:
    """Let the interrupted release commands of these services run again in the next update.

    Raises:
        CommandError: the stack has no such service, or a host does not answer.

    """
    running = running_of(stack)
    if unknown := sorted(set(services) - set(running.services)):
        raise CommandError(
            f"--release-again {unknown[0]}: the stack '{stack.name}' has no such service",
            f"Services: {', '.join(running.services) or 'none'}.",
            status=2,
        )
    for service in services:
        for _, host in [place for place in running.places if place[0] == service]:
            _allow(running.outputs, service, host)


def ask(stack: Stack, aftermath: Aftermath) -> bool:
    """After a failed update: ask whether what was interrupted runs again. Returns whether the answer was yes."""
    if not console.is_interactive():
        return False
    found = interrupted(aftermath.reports)
    if not found:
        return False
    names = ", ".join(f"{service} on {host}" for service, host in found)
    if console.ask(f"Run the interrupted release command of {names} again? [y/N]", "").lower() not in {
        "y",
        "yes",
    }:
        return False
    for service, host in found:
        _allow(aftermath.outputs, service, host)
    return True


def interrupted(reports: Mapping[str, HostReport]) -> list[tuple[str, str]]:
    """The services whose release command was interrupted, each with the host."""
    return [(service, host) for host, report in reports.items() for service in sorted(report.interrupted)]


def _allow(outputs: Mapping[str, Any], service: str, host: str) -> None:
    from cli.running import ssh  # slow to import

    result = ssh.run(outputs, host, shlex.join([SWITCH_SCRIPT_PATH, "--release-again", service]))
    if result.status:
        raise CommandError(
            f"{host}: {result.stderr.strip()}", "`./slip verify` shows what is wrong.", status=1
        )
