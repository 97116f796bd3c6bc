"""`slip logs`: the logs of the registry, the proxies or a service, from the engines of their hosts."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cli import access_log, console
from cli.errors import CommandError
from cli.running import fleet, silence
from cli.running.stack import Failed, RunningStack
from cli.stack.stack import Stack
from cli.text import clean_log_line
from well_known import JOB_LABEL, ROLE_LABEL, SERVICE_LABEL

OWN = ("registry", "proxy")
"""Slipway's own containers. The settings refuse services with these names."""


@dataclass(frozen=True)
class Source:
    """A container and the host that it runs on."""

    host: str
    container: str


def run(stack: Stack, what: str, *, host: str | None, tail: str, follow: bool, status: str = "") -> int:
    """Print the logs of a service, the registry or the proxies. Returns the exit status: 1 if a host did not answer.

    Args:
        stack: the stack.
        what: the service's name, `registry` or `proxy`.
        host: only this host.
        tail: how many of each container's last lines, or `all`.
        follow: whether to go on with new lines.
        status: of the proxies' requests, only those with such a status, such as `5xx`; empty for all.

    Raises:
        CommandError: the stack has no service or host of this name, or the status is none.

    """
    wanted = access_log.filter_of(status)
    if wanted and what != "proxy":
        raise CommandError(
            f"--status is for the access log of the proxies, not of {what}",
            f"For example: ./slip logs proxy --status {status}",
            status=2,
        )
    running = RunningStack.of(stack.outputs(), name=stack.short_name, option=stack.option)
    known = [name for name in OWN if name != "registry" or "registry" in _roles(running)] + running.services
    if what not in known:
        raise CommandError(
            f"the stack '{stack.name}' has no service '{what}'",
            f"Logs: {', '.join(known)}.",
            status=2,
        )
    if host is not None and host not in running.hosts:
        raise CommandError(
            f"the stack '{stack.name}' has no host '{host}'", f"Hosts: {', '.join(running.hosts)}.", status=2
        )
    where = hosts_of(running, what)
    if host is not None and host not in where:
        raise CommandError(
            f"{host} runs no {what}", f"{what} runs on {', '.join(where) or 'no host'}.", status=2
        )
    hosts = [host] if host else where
    failures: list[str] = []
    several = len(hosts) > 1

    def show(name: str) -> None:
        found = False
        try:
            found_lines = lines(
                running, name, what, tail="all" if wanted and not follow else tail, follow=follow
            )
            if wanted:
                found_lines = access_log.chosen(found_lines, wanted, None if follow else tail)
            for source, line in found_lines:
                found = True
                write(f"{source.host} | {line}" if several else line)
        except Failed as failed:
            failures.append(_reason(running, name) or f"{failed}.")
        else:
            if not found:
                console.say(
                    f"{name}: no log lines of {what}{f' with the status {status}' if status else ''}."
                )

    in_parallel(show, hosts)
    for failure in sorted(failures):
        console.warn(failure)
    return 1 if failures else 0


def hosts_of(running: RunningStack, what: str) -> list[str]:
    """The hosts that run a service, the registry or a proxy."""
    if what in OWN:
        return running.hosts_with("registry" if what == "registry" else "app")
    # A stack that an older Slipway updated last does not say it.
    return sorted({host for service, host in running.places if service == what}) or running.hosts_with("app")


def _reason(running: RunningStack, host: str) -> str:
    """Why a host's engine does not answer, and the remedy; empty if it answers by now."""
    report = fleet.ask(running.outputs, [host])[host]
    if not report.answers:
        return f"{host} does not answer: {report.silence}.\n→ {silence.remedy(running, host)}"
    if not report.engine_answers:
        unit = report.engine_unit or "missing"
        return (
            f"the engine of {host} does not answer: docker.service is {unit}.\n"
            f"→ ./slip repair {host}{running.option}"
        )
    return ""


def _roles(running: RunningStack) -> set[str]:
    return {role for facts in running.outputs["hosts"].values() for role in facts["roles"]}


def lines(
    running: RunningStack, host: str, what: str, *, tail: str, follow: bool
) -> Iterator[tuple[Source, str]]:
    """The log lines of a service, the registry or the proxy on a host: container by container, the oldest first.

    Raises:
        Failed: the host's engine does not answer.

    """
    # The runs of a job have a label of their own.
    labels = [ROLE_LABEL] if what in OWN else [SERVICE_LABEL, JOB_LABEL]
    with running.docker(host) as engine:
        found = [
            container
            for label in labels
            for container in engine.containers(all=True, filters={"label": [f"{label}={what}"]})
        ]
        for container in sorted(found, key=lambda one: int(one["Created"])):
            if follow and container["State"] != "running":
                continue
            source = Source(host, container["Names"][0].removeprefix("/"))
            options: dict[str, Any] = {"tail": int(tail) if tail != "all" else "all", "follow": follow}
            rest = b""
            for chunk in engine.logs(container["Id"], stream=True, **options):
                *complete, rest = (rest + chunk).split(b"\n")
                for line in complete:
                    yield source, line.decode(errors="replace")
            if rest:
                yield source, rest.decode(errors="replace")


def write(line: str) -> None:
    """Print a line in one piece, whichever thread it comes from. A terminal obeys nothing of it but its colours."""
    sys.stdout.write(f"{clean_log_line(line, colours=console.is_rich(sys.stdout))}\n")
    sys.stdout.flush()


def in_parallel(show: Callable[[str], None], hosts: Sequence[str]) -> None:
    """Read all hosts at the same time, since --follow never ends. An interrupt ends all threads."""
    threads = [threading.Thread(target=show, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
