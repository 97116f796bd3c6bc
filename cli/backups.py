"""`slip backup`, `slip backups`, `slip restore` and `slip drill`: on the hosts of the services, over SSH."""

import asyncio
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running import silence, ssh
from cli.running.ssh import ForeignKey, Unreachable, remedy_of_foreign_key
from cli.running.stack import RunningStack
from cli.stack.stack import Stack
from cli.text import size
from well_known import SCRIPTS_PATH

SCRIPT = f"{SCRIPTS_PATH}/backup"
PATIENCE = 86_400.0
"""Seconds that a backup or a list may take: large volumes over slow lines."""
END = "slipway-status "
"""Begins the line with the exit status of an order, which follows its own lines."""
UNFINISHED = "unfinished"
"""The tag of a backup that is not whole."""


@dataclass(frozen=True)
class Kept:
    """A backup in a service's repository."""

    id: str
    taken: datetime
    tags: tuple[str, ...]

    @property
    def bytes(self) -> int | None:
        """Its size; None if it is unknown."""
        found = next((tag for tag in self.tags if tag.startswith("bytes=")), "")
        return int(found.removeprefix("bytes=")) if found[6:].isdecimal() else None

    @property
    def what(self) -> str:
        """What it is of, for people."""
        for tag in self.tags:
            kind, _, volumes = tag.partition("=")
            names = volumes.replace("+", ", ")
            if kind == "volumes":
                return f"the volumes {names}" if "+" in volumes else f"the volume {names}"
            if kind == "command":
                return "the output of its command"
        return "unknown"

    @property
    def moment(self) -> str:
        """When it was made, for people: UTC."""
        return f"{self.taken:%Y-%m-%d %H:%M:%S} UTC"


def backup(stack: Stack, service: str, *, new: bool) -> int:
    """Make a backup now. Returns the exit status.

    Args:
        stack: the stack.
        service: the service's name.
        new: whether a new repository may be begun where the former one is gone.

    Raises:
        CommandError: the service has no backups, or its host does not answer.

    """
    running = _running(stack)
    return _order(running, _host(running, service), ["now", service, *(["new"] if new else [])])


def show(stack: Stack, service: str | None, *, as_json: bool) -> int:
    """Print the backups of a service or of all, the newest first. Returns the exit status.

    Raises:
        CommandError: the service has no backups.

    """
    running = _running(stack)
    names = [service] if service else sorted(_backed_up(running))
    found: dict[str, list[Kept]] = {}
    status = 0
    for name in names:
        host = _host(running, name)
        try:
            found[name] = _list(running, host, name)
        except CommandError as error:
            console.warn(f"{name}: {error}")
            status = 1
    if as_json:
        print(
            json.dumps(
                {
                    name: [
                        {"id": one.id, "taken": one.taken.isoformat(timespec="seconds"), "bytes": one.bytes}
                        for one in kept
                    ]
                    for name, kept in found.items()
                },
                indent=2,
            )
        )
        return status
    rows = [
        (name, one.moment, one.id, "-" if one.bytes is None else size(one.bytes), one.what)
        for name, kept in found.items()
        for one in kept
    ]
    if rows:
        console.table("Backups", ("service", "made", "id", "size", "what"), rows)
    for name, kept in found.items():
        if not kept:
            console.say(f"{name} has no backup yet. `./slip backup {name}{running.option}` makes one.")
    if not names:
        console.say(
            "No service of this stack has backups. slipway:services.SERVICE.backup sets them up; "
            "docs/services.md says how."
        )
    return status


def restore(stack: Stack, service: str, at: str | None, *, yes: bool) -> int:
    """Put a backup in place of a service's data, after a question. Returns the exit status.

    Args:
        stack: the stack.
        service: the service's name.
        at: the id of a backup; or a time, for the last one until then. None for the last one.
        yes: whether to ask nothing.

    Raises:
        CommandError: there is no such backup, or the answer was no.

    """
    running = _running(stack)
    host = _host(running, service)
    chosen = choose(_list(running, host, service), service, at)
    console.say(
        f"The backup {chosen.id} of {service}: {chosen.what}, made {chosen.moment}"
        f"{'' if chosen.bytes is None else f', {size(chosen.bytes)}'}. "
        f"It is first restored beside what runs. Then {service} on {host} stops for a moment, and starts with it. "
        "The data until now stays in a volume of another name."
    )
    if not yes:
        console.confirm(
            f"Replace the data of {service} on {host} by that of {chosen.moment}?",
            remedy="Pass --yes to do it.",
        )
    return _order(running, host, ["restore", service, chosen.id])


def drill(stack: Stack, service: str | None) -> int:
    """Restore the last backup of a service, or of each, beside what runs, and throw it away. Returns the exit status.

    Raises:
        CommandError: the service has no backups.

    """
    running = _running(stack)
    names = [service] if service else sorted(_backed_up(running))
    if not names:
        console.say("No service of this stack has backups, so there is nothing to restore.")
        return 1
    failed = []
    for name in names:
        host = _host(running, name)
        try:
            last = choose(_list(running, host, name), name, None)
            console.say(f"{name} on {host}: the backup {last.id} of {last.moment}")
            if _order(running, host, ["drill", name, last.id]):
                failed.append(name)
        except CommandError as error:
            console.warn(f"{name}: {error}")
            failed.append(name)
    if failed:
        console.warn(f"The last backup of {', '.join(failed)} could not be restored.")
    return 1 if failed else 0


def choose(kept: Sequence[Kept], service: str, at: str | None) -> Kept:
    """The backup with this id, the last one until this time, or the last one.

    Args:
        kept: the backups, the newest first.
        service: whose they are.
        at: an id, or a time in ISO 8601, in UTC where it has no other zone. None for the last one.

    Raises:
        CommandError: there is none.

    """
    remedy = f"`./slip backups {service}` lists them."
    if not kept:
        raise CommandError(f"{service} has no backup yet", f"`./slip backup {service}` makes one.")
    if at is None:
        return kept[0]
    for one in kept:
        if one.id == at:
            return one
    try:
        # A day alone means its end.
        until = datetime.fromisoformat(f"{at} 23:59:59" if len(at) == 10 else at)
    except ValueError:
        raise CommandError(
            f"'{at}' is neither the id of a backup of {service} nor a time",
            f"Write a time such as 2026-01-31 or '2026-01-31 14:00' (UTC). {remedy}",
            status=2,
        ) from None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    for one in kept:
        if one.taken <= until:
            return one
    raise CommandError(f"{service} has no backup that is as old as {at}", remedy)


def parse(text: str) -> list[Kept]:
    """The whole backups in restic's JSON, the newest first."""
    found = [
        Kept(one["short_id"], _moment(one["time"]), tuple(one.get("tags") or ()))
        for one in json.loads(text or "[]") or ()
    ]
    whole = [one for one in found if UNFINISHED not in one.tags]
    return sorted(whole, key=lambda one: one.taken, reverse=True)


def _moment(text: str) -> datetime:
    """A time of restic's, whose seconds have nine digits behind the point."""
    whole, _, rest = text.partition(".")
    zone = rest.lstrip("0123456789")
    return datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).astimezone(UTC)


def _running(stack: Stack) -> RunningStack:
    return RunningStack.of(stack.outputs(), name=stack.short_name, option=stack.option)


def _backed_up(running: RunningStack) -> dict[str, Any]:
    return dict(running.outputs.get("serviceBackups") or {})


def _host(running: RunningStack, service: str) -> str:
    known = _backed_up(running)
    if service not in known:
        raise CommandError(
            f"{service} has no backups",
            f"Services with backups: {', '.join(sorted(known)) or 'none'}. slipway:services.{service}.backup sets "
            f"them up, and then `./slip up{running.option}`.",
            status=2,
        )
    return str(running.outputs["serviceHosts"][service][0])


def _list(running: RunningStack, host: str, service: str) -> list[Kept]:
    result = ssh.run(running.outputs, host, shlex.join([SCRIPT, "list", service]), PATIENCE)
    if result.status:
        raise CommandError(f"{host}: {_plain(result.stderr)}", f"`./slip verify{running.option}` shows more.")
    return parse(result.stdout)


def _plain(text: str) -> str:
    return "\n".join(line.removeprefix("slipway: ") for line in text.strip().splitlines())


def _order(running: RunningStack, host: str, words: Sequence[str]) -> int:
    """Have a host do something, print its lines as they come, and return its exit status."""
    # It goes on if this connection ends.
    order = f"({shlex.join([SCRIPT, *words])} 2>&1; echo {END}$?)"
    try:
        return asyncio.run(_follow(running, host, f"bash -c {shlex.quote(order)}"))
    except ForeignKey as error:
        raise CommandError(f"{host}: {error}", remedy_of_foreign_key(host, running.option)) from error
    except Unreachable as error:
        raise CommandError(f"{host} does not answer: {error}", silence.remedy(running, host)) from error


async def _follow(running: RunningStack, host: str, command: str) -> int:
    status = ""
    async for line in ssh.lines(running.outputs, host, ssh.Command(command)):
        if line.startswith(END):
            status = line.removeprefix(END)
        else:
            console.say(line.removeprefix("slipway: "))
    return int(status) if status.isdecimal() else 1
