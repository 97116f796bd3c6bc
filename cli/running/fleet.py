"""Asks the hosts of a stack what they run and serve: all at once, each over one SSH connection."""

import asyncio
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.running import drift, ssh
from cli.running.drift import Desired
from cli.running.host_report import HostReport, parse
from cli.running.ssh import Command, Unreachable
from cli.running.usage import CGROUPS

SCRIPT = Path(__file__).parent / "scripts/report.sh"
CONNECT_PATIENCE = 8.0
"""Seconds until a host must have let us in: it is named as silent within ten."""
PATIENCE = 30.0
"""Seconds until a host must have said everything. Its engine and its containers have 5 s for each answer."""


def ask(
    outputs: Mapping[str, Any],
    hosts: Iterable[str] | None = None,
    *,
    desired: Iterable[Desired] = (),
    answered: Callable[[HostReport], None] = lambda _: None,
    sizes: bool = False,
    usage: bool = False,
) -> dict[str, HostReport]:
    """What each host runs and serves, by the host's name. A host that gives no answer has a report, too.

    Args:
        outputs: the stack's, with their secrets.
        hosts: the hosts to ask; by default all of them.
        desired: what was made on the hosts, to be compared over the same connection.
        answered: called with each report as it comes.
        sizes: whether the hosts say what their containers have written, too. The engines have to count it.
        usage: whether they say how much CPU and memory their containers use.

    """
    names = sorted(outputs["hosts"]) if hosts is None else list(hosts)
    values = [
        f"CHECKS={shlex.quote(_checks(outputs))}\n",
        *(["SIZES=yes\n"] if sizes else []),
        *(["USAGE=yes\n", CGROUPS.read_text()] if usage else []),
    ]
    question = Command("bash -s", "".join([*values, SCRIPT.read_text()]), PATIENCE)
    made = drift.by_host(desired)

    async def ask_one(host: str) -> HostReport:
        report = await _ask(outputs, host, question, made.get(host, []))
        answered(report)
        return report

    async def ask_all() -> list[HostReport]:
        return await asyncio.gather(*(ask_one(host) for host in names))

    return {report.host: report for report in asyncio.run(ask_all())}


async def _ask(
    outputs: Mapping[str, Any], host: str, question: Command, made: Sequence[Desired]
) -> HostReport:
    commands = [question, *([drift.comparison(made)] if made else [])]
    asked = time.time()
    try:
        result, *compared = await ssh.execute_all(outputs, host, commands, CONNECT_PATIENCE)
        if isinstance(result, Unreachable):
            raise result
        report = parse(host, result.stdout, asked=asked, answered=result.ended)
    except Unreachable as error:
        return HostReport(host, silence=str(error), has_foreign_key=isinstance(error, ssh.ForeignKey))
    except (ValueError, LookupError) as error:
        return HostReport(host, silence=f"it says nothing that makes sense: {error}")
    if not compared:
        return report
    found = drift.differing(made, compared[0])
    if isinstance(found, Unreachable):
        return replace(report, not_compared=str(found))
    return replace(report, differences=tuple(found))


def _checks(outputs: Mapping[str, Any]) -> str:
    """A line for each service: name, health path, domain."""
    domains = outputs.get("serviceDomains") or {}
    paths = outputs.get("serviceHealthPaths") or {}
    return "\n".join("\t".join([name, path, domains.get(name, "")]) for name, path in sorted(paths.items()))
