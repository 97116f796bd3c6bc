"""`slip logs`: the logs of the registry, the proxies and services, from the engines of their hosts."""

import json
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cli import access_log, console
from cli.errors import CommandError
from cli.running import fleet, silence
from cli.running.stack import Failed, RunningStack, running_of
from cli.stack.stack import Stack
from cli.text import clean_log_line
from well_known import JOB_LABEL, ROLE_LABEL, SERVICE_LABEL

OWN = ("registry", "proxy")
"""Slipway's own containers. The settings refuse services with these names."""
WINDOW = 0.3
"""Seconds that a new line waits for older ones of other hosts."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*Z ")
"""What the engine puts before each line."""


@dataclass(frozen=True)
class Line:
    """A line of a log."""

    time: str
    """When the container wrote it, RFC 3339 with nanoseconds."""
    service: str
    """The service, `registry` or `proxy`."""
    host: str
    container: str
    text: str


@dataclass(frozen=True)
class Wanted:
    """Which lines are wanted."""

    tail: str = "100"
    """The last so many of each container, or `all`."""
    follow: bool = False
    """Whether to go on with new ones."""
    since: float | None = None
    """The time of the first one, in seconds since 1970."""
    pattern: re.Pattern[str] | None = None
    """What their text has in it."""
    status: re.Pattern[str] | None = None
    """What the status of the proxies' requests has to match."""

    @classmethod
    def of(
        cls,
        tail: str | None,
        since: str,
        grep: str,
        *,
        follow: bool,
        status: str = "",
        now: float | None = None,
    ) -> "Wanted":
        """The wish as it is written on the command line.

        Raises:
            CommandError: a value is none.

        """
        if tail is not None and tail != "all" and not (tail.isascii() and tail.isdecimal()):
            raise CommandError(
                f"--tail {tail}: not a number", "For example: --tail 100, or --tail all", status=2
            )
        try:
            pattern = re.compile(grep) if grep else None
        except re.error as error:
            raise CommandError(
                f"--grep {grep}: {error}",
                "Write a regular expression of Python's, such as --grep 'HTTP 5..'",
                status=2,
            ) from error
        begin = _moment(since, time.time() if now is None else now) if since else None
        # Whoever names a time or a word wants all of that.
        chosen = tail or ("all" if since or grep else "100")
        return cls(chosen, follow, begin, pattern, access_log.filter_of(status))

    @property
    def options(self) -> dict[str, Any]:
        """The engine's options."""
        options: dict[str, Any] = {
            # Of those with a status, the last ones are known only when all have been read.
            "tail": "all" if self.tail == "all" or (self.status and not self.follow) else int(self.tail),
            "follow": self.follow,
            "timestamps": True,
        }
        return options | ({"since": int(self.since)} if self.since is not None else {})


def _moment(text: str, now: float) -> float:
    if found := re.fullmatch(r"(\d{1,9})([smhd])", text):
        return now - int(found[1]) * UNITS[found[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(
            f"--since {text}: neither a time nor how long ago",
            "For example: --since 10m (s, m, h, d), or --since 2026-01-31T12:00",
            status=2,
        ) from error
    return (moment if moment.tzinfo else moment.astimezone()).astimezone(UTC).timestamp()


def run(
    stack: Stack, whats: Sequence[str], wanted: Wanted, *, host: str | None, as_json: bool = False
) -> int:
    """Print logs, all hosts' in the order of time. Returns the exit status: 1 if a host did not answer.

    Args:
        stack: the stack.
        whats: services, `registry` and `proxy`; all services if it is empty.
        wanted: which lines.
        host: only of this host; None for all.
        as_json: whether each line is an object of JSON.

    Raises:
        CommandError: the stack has no service or host of this name.

    """
    running = running_of(stack)
    known = [name for name in OWN if name != "registry" or "registry" in _roles(running)] + running.services
    whats = list(dict.fromkeys(whats)) or running.services
    for what in whats:
        if what not in known:
            raise CommandError(
                f"the stack '{stack.name}' has no service '{what}'", f"Logs: {', '.join(known)}.", status=2
            )
    if wanted.status and whats != ["proxy"]:
        raise CommandError(
            f"--status is for the access log of the proxies, not of {', '.join(whats)}",
            "For example: ./slip logs proxy --status 5xx",
            status=2,
        )
    if host is not None and host not in running.hosts:
        raise CommandError(
            f"the stack '{stack.name}' has no host '{host}'", f"Hosts: {', '.join(running.hosts)}.", status=2
        )
    places = {what: hosts_of(running, what) for what in whats}
    if host is not None and not any(host in where for where in places.values()):
        where = ", ".join(dict.fromkeys(name for names in places.values() for name in names))
        raise CommandError(
            f"{host} runs no {' and no '.join(whats)}",
            f"{', '.join(whats)} {'run' if len(whats) > 1 else 'runs'} on {where or 'no host'}.",
            status=2,
        )
    at: dict[str, list[str]] = {}
    for what, names in places.items():
        for name in names:
            if host in {None, name}:
                at.setdefault(name, []).append(what)
    prefix = _prefix(several_services=len(whats) > 1, several_hosts=len(at) > 1)
    failures: list[str] = []
    found: queue.SimpleQueue[Line] = queue.SimpleQueue()

    def read(name: str) -> None:
        seen = set()
        try:
            for line in _chosen(lines(running, name, at[name], wanted, found.put), wanted):
                seen.add(line.service)
                found.put(line)
        except Failed as failed:
            failures.append(_reason(running, name) or f"{failed}.")
        else:
            for what in at[name]:
                if what not in seen and not (wanted.follow or wanted.pattern or wanted.status):
                    console.say(f"{name}: no log lines of {what}.")

    def show(line: Line) -> None:
        write(json.dumps(asdict(line)) if as_json else f"{prefix(line)}{line.text}", as_json=as_json)

    print_in_order(in_parallel(read, list(at)), found, show, follow=wanted.follow)
    for failure in sorted(failures):
        console.warn(failure)
    return 1 if failures else 0


def _prefix(*, several_services: bool, several_hosts: bool) -> Callable[[Line], str]:
    def prefix(line: Line) -> str:
        words = ([line.service] if several_services else []) + ([line.host] if several_hosts else [])
        return f"{' '.join(words)} | " if words else ""

    return prefix


def print_in_order(
    threads: Sequence[threading.Thread],
    found: "queue.SimpleQueue[Line]",
    show: Callable[[Line], None],
    *,
    follow: bool,
) -> None:
    """Print what threads find, by time: at the end, or, if they go on, each line shortly after it came."""
    held: list[Line] = []
    until = float("inf")
    while True:
        # Before the look at the queue: what ended until then has said all.
        alive = any(thread.is_alive() for thread in threads)
        try:
            held.append(found.get(timeout=0.05 if alive else 0))
            until = min(until, time.monotonic() + WINDOW)
        except queue.Empty:
            if not alive:
                break
        if follow and time.monotonic() >= until:
            _show_all(held, show)
            until = float("inf")
    _show_all(held, show)


def _show_all(held: list[Line], show: Callable[[Line], None]) -> None:
    # Lines of the same moment stay as they came.
    for line in sorted(held, key=lambda line: line.time):
        show(line)
    held.clear()


def hosts_of(running: RunningStack, what: str) -> list[str]:
    """The hosts that run a service, the registry or a proxy."""
    if what in OWN:
        return running.hosts_with("registry") if what == "registry" else running.proxy_hosts
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
    running: RunningStack,
    host: str,
    whats: Sequence[str],
    wanted: Wanted,
    give: Callable[[Line], None] = lambda _: None,
) -> Iterator[Line]:
    """The log lines on a host: container by container, the oldest first.

    Args:
        running: the stack.
        host: the host's name.
        whats: services, the registry or the proxy.
        wanted: which lines.
        give: gets the lines of all containers but the last one if they are followed, which never ends.

    Raises:
        Failed: the host's engine does not answer.

    """
    with running.docker(host) as engine:
        chosen = [
            (what, container)
            for what in whats
            for container in sorted(
                (
                    container
                    # The runs of a job have a label of their own.
                    for label in ([ROLE_LABEL] if what in OWN else [SERVICE_LABEL, JOB_LABEL])
                    for container in engine.containers(all=True, filters={"label": [f"{label}={what}"]})
                ),
                key=lambda one: int(one["Created"]),
            )
            if not wanted.follow or container["State"] == "running"
        ]
        if wanted.follow:
            # Each of them never ends.
            for what, container in chosen[:-1]:
                threading.Thread(
                    target=_follow, args=(running, host, what, container, wanted, give), daemon=True
                ).start()
            chosen = chosen[-1:]
        for what, container in chosen:
            yield from _said(engine, host, what, container, wanted)


def _chosen(found: Iterator[Line], wanted: Wanted) -> Iterator[Line]:
    if wanted.status is None:
        return found
    tail = None if wanted.follow else wanted.tail
    return (line for line, _ in access_log.chosen(((line, line.text) for line in found), wanted.status, tail))


def _follow(
    running: RunningStack,
    host: str,
    what: str,
    container: dict[str, Any],
    wanted: Wanted,
    give: Callable[[Line], None],
) -> None:
    try:
        with running.docker(host) as engine:
            for line in _said(engine, host, what, container, wanted):
                give(line)
    except Failed as failed:
        console.warn(f"{failed}.")


def _said(engine: Any, host: str, what: str, container: dict[str, Any], wanted: Wanted) -> Iterator[Line]:
    name = container["Names"][0].removeprefix("/")
    rest = ""
    for chunk in engine.logs(container["Id"], stream=True, **wanted.options):
        text = chunk.decode(errors="replace")
        # The engine stores a long line in pieces, and puts the time before each.
        *complete, rest = (
            rest + (_TIME.sub("", text, count=1) if rest and _TIME.match(text) else text)
        ).split("\n")
        for line in complete:
            yield from _wanted(line, host, what, name, wanted)
    if rest:
        yield from _wanted(rest, host, what, name, wanted)


def _wanted(line: str, host: str, what: str, container: str, wanted: Wanted) -> Iterator[Line]:
    found = _TIME.match(line)
    text = line[found.end() :] if found else line
    if wanted.pattern is None or wanted.pattern.search(text):
        yield Line(found[0].strip() if found else "", what, host, container, text)


def write(line: str, *, as_json: bool = False) -> None:
    """Print a line in one piece. A terminal obeys nothing of it but its colours."""
    sys.stdout.write(line if as_json else clean_log_line(line, colours=console.is_rich(sys.stdout)))
    sys.stdout.write("\n")
    sys.stdout.flush()


def in_parallel(read: Callable[[str], None], hosts: Sequence[str]) -> list[threading.Thread]:
    """Read all hosts at the same time, since --follow never ends. An interrupt ends all threads."""
    threads = [threading.Thread(target=read, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    return threads
