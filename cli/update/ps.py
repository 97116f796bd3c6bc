"""`slip ps`: what each host serves of each service, from the running system: all hosts at once, one connection each."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cli import console
from cli.running import fleet
from cli.running.host_report import HostReport
from cli.running.stack import running_of
from cli.stack.stack import Stack
from cli.text import age, short_digest, size
from cli.update import versions
from cli.update.versions import Versions


@dataclass(frozen=True)
class Process:
    """A service on a host."""

    service: str
    host: str
    version: int | None
    """The version that serves; None if it is unknown."""
    current: bool
    """Whether that is the version that was deployed last."""
    digest: str
    """Of the image; empty if nothing serves."""
    since: str
    """When its container was made, RFC 3339; empty if nothing serves."""
    health: str
    """What its health path answered; `runs` for a service without one; or why that is unknown. Whether it hangs, and
    when it was restarted for that."""
    healthy: bool
    """Whether it is as it should be: healthy, or stopped by an operator."""
    maintenance: bool
    """Whether visitors get a page in its place (`slip maintenance`)."""
    restarts: int
    """How often the engine has restarted it by itself."""
    stopped: str
    """When an operator stopped it, RFC 3339; empty if it is not stopped."""
    memory: int | None
    """Bytes; None if the host does not say."""
    cpu: float | None = None
    """How much of one CPU it used, 1.0 for all of it, while the host answered; None if that is unknown."""
    built: str = ""
    """When its image was built, RFC 3339; empty if the image does not say."""
    backup: str = ""
    """Its last backup, and when the next one is made; empty if it has none."""


def run(stack: Stack, *, as_json: bool) -> int:
    """Print what serves. Returns the exit status: 1 if a service is not healthy on a host, or a host is silent."""
    running = running_of(stack)
    keeps_images = running.hosts_with("registry") if running.outputs.get("registryBackup") else []
    hosts = sorted({*(host for _, host in running.places), *running.edges, *keeps_images})
    reports = fleet.ask(running.outputs, hosts, usage=True)
    found = list(processes(running.outputs, running.places, reports))
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        now = datetime.now(UTC)
        console.table(
            f"Services of the stack '{stack.name}'",
            ("service", "host", "version", "image", "built", "since", "health", "restarts", "CPU", "memory"),
            [row(one, now) for one in found],
        )
        if running.edges:
            console.table(
                f"Edges of the stack '{stack.name}'",
                ("edge", "service", "well on", "ill on"),
                edges(running.edges, reports),
            )
        saved = [(one.service, one.host, one.backup) for one in found if one.backup]
        for host in keeps_images:
            of_registry = reports[host].backups.get("registry")
            saved.append(("registry", host, str(of_registry or "unknown")))
        if saved:
            console.table("Backups", ("service", "host", "backup"), saved)
    return 0 if all(one.healthy for one in found) else 1


def edges(names: list[str], reports: Mapping[str, HostReport]) -> list[tuple[str, ...]]:
    """The lines of the table of edges: where each finds each service well."""
    rows: list[tuple[str, ...]] = []
    for name in names:
        if why := reports[name].serves_unknown:
            rows.append((name, "-", "-", why))
        for service, hosts in sorted(reports[name].behind.items()):
            well, ill = ([host for host in hosts if hosts[host] is state] for state in (True, False))
            rows.append((name, service, ", ".join(well) or "-", ", ".join(ill) or "-"))
    return rows


def processes(
    outputs: Mapping[str, Any], places: list[tuple[str, str]], reports: Mapping[str, HostReport]
) -> Iterator[Process]:
    """Each service on each of its hosts.

    Args:
        outputs: the stack's.
        places: service and host.
        reports: what the hosts say.

    """
    known = versions.every(outputs)
    for service, host in places:
        process = _process(service, host, known.get(service), reports[host])
        saved = reports[host].backups.get(service)
        yield replace(process, backup=str(saved)) if saved else process


def _process(service: str, host: str, known: Versions | None, report: HostReport) -> Process:
    serving = report.services.get(service)
    if since := report.stopped.get(service):
        return Process(
            service,
            host,
            None,
            False,
            "",
            "",
            "stopped",
            True,
            False,
            0,
            since.isoformat(timespec="seconds"),
            None,
        )
    if job := report.jobs.get(service):
        return Process(service, host, None, True, "", "", str(job), job.is_well, False, 0, "", None)
    if serving is None:
        why = report.serves_unknown or "nothing serves"
        return Process(
            service, host, None, False, "", "", why, False, service in report.maintained, 0, "", None
        )
    number = known.number_of(serving.digests, serving.since) if known else None
    container = report.container(serving.container)
    hang, now = report.hangs.get(service), datetime.now(UTC)
    told = hang.told(now) if hang else ""
    return Process(
        service=service,
        host=host,
        version=number,
        current=known is not None and number == known.current,
        digest=serving.digest,
        since=serving.since.isoformat(timespec="seconds") if serving.since else "",
        health="; ".join(text for text in (serving.health or "runs", told) if text),
        healthy=serving.healthy is not False and (hang is None or hang.is_well(now)),
        maintenance=service in report.maintained,
        restarts=container.restarts if container else 0,
        stopped="",
        memory=report.memory.get(serving.container),
        cpu=report.cpu.get(serving.container),
        built=made.isoformat(timespec="seconds") if container and (made := container.image_made) else "",
    )


def _health(process: Process, now: datetime) -> str:
    if process.stopped:
        return f"stopped since {age(process.stopped, now)}"
    return f"{process.health}, under maintenance" if process.maintenance else process.health


def row(process: Process, now: datetime) -> tuple[str, ...]:
    """A line of the table."""
    number = "-" if process.version is None else str(process.version)
    return (
        process.service,
        process.host,
        number if process.current or process.version is None else f"{number}, not the current one",
        short_digest(process.digest).removeprefix("sha256:") or "-",
        age(process.built, now) or "-",
        age(process.since, now) or "-",
        _health(process, now),
        str(process.restarts),
        "-" if process.cpu is None else f"{process.cpu:.1%}",
        "-" if process.memory is None else size(process.memory),
    )
