"""The checks of `slip verify` on what each host reports about itself: engine, containers, clock, disks, retention.

A subject is a host, or `container on host`.
"""

from datetime import UTC, datetime, timedelta

from cli.running import disk, silence
from cli.running.host_report import ACTIVE, Container, HostReport
from cli.running.stack import Failed, RunningStack
from cli.text import size
from cli.verify.found import Warned, host_of
from well_known import (
    PROXY_CONTAINER,
    REGISTRY_CONTAINER,
    REGISTRY_DATA_PATH,
    REGISTRY_PROXY_CONTAINER,
)

FRONT = "registry's proxy"
"""The proxy before the registry."""

CLOCK_LIMIT = 60.0
"""Seconds by which a host's clock may differ from the operator's: new certificates are valid from some minutes back."""
RESTARTS_PERIOD = timedelta(minutes=5)
"""A container that the engine restarted in this time fails: the engine waits a minute at most between two restarts."""
RESTARTS_REMEMBERED = timedelta(days=1)
"""A container that the engine restarted in this time is worth a warning."""
WRITTEN_LIMIT = 2**30
"""Bytes that a container may write into its own files without a warning: those of a log or a cache that is forgotten
there grow until the host's disk is full."""


def answers(running: RunningStack, host: str) -> str:
    """The host answers over SSH."""
    report = running.reports[host]
    if not report.answers:
        raise Failed(report.silence, silence.remedy(running, host))
    return "over SSH"


def engine_runs(running: RunningStack, host: str) -> str:
    """Docker Engine runs on the host, and answers."""
    report = running.reports[host]
    if report.engine_unit != ACTIVE:
        raise Failed(f"Docker Engine is {report.engine_unit or 'not there'}; the machine runs")
    if not report.engine_answers:
        raise Failed("Docker Engine has not answered in time; the machine runs")
    return f"Docker Engine {report.engine_version}"


def engine_is_closed(running: RunningStack, host: str) -> str:
    """No API of the engine is open without mutual TLS."""
    warnings = running.reports[host].open_engine
    if warnings:
        raise Failed(f"anyone who reaches it has root access: {'; '.join(warnings)}")
    return "mutual TLS only"


def own_containers(running: RunningStack) -> list[str]:
    """The containers that must run: proxies, the registry, and the app's containers that serve."""
    found = [f"proxy on {host}" for host in running.proxy_hosts]
    if running.registry_mode != "external":
        found += [
            f"{what} on {host}" for host in running.hosts_with("registry") for what in ("registry", FRONT)
        ]
    return found + [
        f"{service} on {host}"
        for service, host in running.places
        if host in running.reports and service in running.reports[host].services
    ]


def container_runs(running: RunningStack, subject: str) -> str:
    """A container runs, and does not restart again and again."""
    what, host = subject.rpartition(" on ")[0], host_of(subject)
    report = running.reports[host]
    container = report.container(_name(what, report))
    if container is None:
        raise Failed("there is no such container")
    log = f"./slip logs {'registry' if what == FRONT else what} --host {host}{running.option}"
    state = _state(container)
    if container.status == "restarting":
        raise Failed(state, log)
    if container.status != "running":
        raise Failed(state)
    if container.restarts and container.started:
        time = datetime.now(UTC) - container.started
        if time < RESTARTS_PERIOD:
            raise Failed(f"it restarts again and again: {_times(container.restarts)} so far", log)
        if time < RESTARTS_REMEMBERED:
            return Warned(
                f"it was restarted {_times(container.restarts)}, last at {container.started:%H:%M} UTC"
            )
    written = report.written.get(container.name, 0)
    if written > WRITTEN_LIMIT:
        return Warned(f"it has written {size(written)} into its own files, and nothing limits them")
    return "runs"


def _name(what: str, report: HostReport) -> str:
    own = {"proxy": PROXY_CONTAINER, "registry": REGISTRY_CONTAINER, FRONT: REGISTRY_PROXY_CONTAINER}
    # The settings refuse services with these names.
    return own.get(what) or report.services[what].container


def _state(container: Container) -> str:
    if container.status in {"paused", "created"}:
        return f"it is {container.status}"
    memory = ", out of memory" if container.out_of_memory else ""
    doing = (
        f"restarts again and again ({_times(container.restarts)})" if container.restarts else container.status
    )
    return f"{'it' if container.restarts else 'it is'} {doing}; its last exit code is {container.exit_code}{memory}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def clock_is_right(running: RunningStack, host: str) -> str:
    """The host's clock is the operator's. Certificates that are signed here must be valid there."""
    difference = running.reports[host].clock_difference
    if abs(difference) <= CLOCK_LIMIT:
        return f"within {max(1, round(abs(difference)))} s of this machine's"
    direction = "ahead of" if difference > 0 else "behind"
    everywhere = all(
        abs(report.clock_difference) > CLOCK_LIMIT for report in running.reports.values() if report.answers
    )
    where = "here" if everywhere and len(running.reports) > 1 else f"here or on {host}, whichever is wrong"
    raise Failed(
        f"its clock is {_span(abs(difference))} {direction} this machine's",
        f"timedatectl set-ntp true   # {where}",
    )


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def has_room(running: RunningStack, host: str) -> str:
    """No file system of the host is full. On a full one pushes, pulls and the logs of containers fail."""
    disks = running.reports[host].disks
    if not disks:
        raise Failed("the host does not say how full its disks are")
    fullest = min(disks, key=lambda one: (not one.is_full, min(one.free_share, one.free_inodes_share)))
    seen = f"{fullest.path}: {fullest.free_share:.0%} free, {size(fullest.free)}"
    if fullest.free_inodes_share < disk.WARNING_SHARE:
        seen += f"; {fullest.free_inodes_share:.0%} of its inodes"
    if fullest.is_full:
        raise Failed(f"full: {seen}", _room(running, host, fullest.path))
    return Warned(f"filling up: {seen}") if fullest.is_filling_up else seen


def _room(running: RunningStack, host: str, path: str) -> str:
    if path == REGISTRY_DATA_PATH and running.reports[host].retention:
        return f"./slip prune{running.option}"
    if path == REGISTRY_DATA_PATH:
        return f"set slipway:registry.retention, then:\n./slip up{running.option}"
    return f"./slip prune --hosts{running.option}"


def with_retention(running: RunningStack) -> list[str]:
    """The registry's host, where it removes images."""
    return [host for host, report in sorted(running.reports.items()) if report.retention]


def retention_works(running: RunningStack, host: str) -> str:
    """The timer that removes images is on, and its last run succeeded."""
    retention = running.reports[host].retention
    if retention is None:
        raise Failed("the host has no such timer")
    said = f": {retention.said}" if retention.said else ""
    if retention.result != "success":
        raise Failed(f"the last run failed ({retention.result}), {retention.ended}{said}")
    if not retention.is_scheduled:
        raise Failed("its timer is off", f"./slip repair {host}{running.option}")
    return f"last run {retention.ended}{said}" if retention.ended else "no run since the host started"
