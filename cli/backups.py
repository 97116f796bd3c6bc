"""`slip backup`, `slip backups`, `slip restore` and `slip drill`: on the hosts of services and registry, over SSH.

The state is backed up on this machine (cli/stack/state_backup.py), without which no host could be asked.
"""

import asyncio
import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.running import silence, ssh
from cli.running.backup import moment
from cli.running.ssh import ForeignKey, Unreachable, remedy_of_foreign_key
from cli.running.stack import RunningStack, running_of
from cli.stack import deployment, state_backup
from cli.stack.config import REGISTRY, STATE
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
            if kind == REGISTRY:
                return "the images"
            if kind == STATE:
                return f"{volumes} resources"
        return "unknown"

    @property
    def moment(self) -> str:
        """When it was made, for people: UTC."""
        return f"{self.taken:%Y-%m-%d %H:%M:%S} UTC"


def backup(stack: Stack, service: str, *, new: bool) -> int:
    """Make a backup now. Returns the exit status.

    Args:
        stack: the stack.
        service: the service's name, `registry` or `state`.
        new: whether a new repository may be begun where the former one is gone.

    Raises:
        CommandError: the service has no backups, or its host does not answer.

    """
    if is_state(stack, service):
        state_backup.back_up(stack, new=new)
        return 0
    running = running_of(stack)
    return _order(running, _host(running, service), ["now", service, *(["new"] if new else [])])


def show(stack: Stack, service: str | None, *, as_json: bool) -> int:
    """Print the backups of a service or of all, the newest first. Returns the exit status.

    Raises:
        CommandError: the service has no backups.

    """
    names = [service] if service else backed_up(stack)
    found: dict[str, list[Kept]] = {}
    status = 0
    for name in names:
        try:
            found[name] = _kept(stack, name)
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
            console.say(f"{name} has no backup yet. `./slip backup {name}{stack.option}` makes one.")
    if not names:
        console.say(
            "Nothing of this stack has backups. slipway:services.SERVICE.backup, slipway:registry.backup and "
            "slipway:stateBackup set them up; docs/services.md says how."
        )
    return status


def restore(stack: Stack, service: str, at: str | None, *, yes: bool, source: Stack | None = None) -> int:
    """Put a backup in place of a service's data or of the state, or add its images. Returns the exit status.

    It asks before.

    Args:
        stack: the stack.
        service: the service's name, `registry` or `state`.
        at: the id of a backup; or a time, for the last one until then. None for the last one.
        yes: whether to ask nothing.
        source: the stack whose backup it is; by default the same.

    Raises:
        CommandError: there is no such backup, or the answer was no.

    """
    if is_state(stack, service):
        if source:
            raise CommandError("a state is restored from its own stack's backups only", status=2)
        return _restore_state(stack, at, yes=yes)
    running = running_of(stack)
    host = _host(running, service)
    giving = running_of(source) if source else running
    chosen = choose(_kept(source or stack, service), service, at)
    if service == REGISTRY:
        effect = (
            "Images that it lacks are added, and damaged ones replaced. All others stay, and nothing stops."
        )
        question = f"Add the images of {chosen.moment} to the registry on {host}?"
    else:
        effect = (
            f"It is first restored beside what runs. Then {service} on {host} stops for a moment, and starts with it. "
            "The data until now stays in a volume of another name."
        )
        question = f"Replace the data of {service} on {host} by that of {chosen.moment}?"
    console.say(f"{_described(chosen, service)} {effect}")
    if not yes:
        console.confirm(question, remedy="Pass --yes to do it.")
    if source:
        return _bring(giving, running, service, chosen)
    return _order(running, host, ["restore", service, chosen.id])


def _bring(giving: RunningStack, running: RunningStack, service: str, chosen: Kept) -> int:
    """Restore a backup of another stack: its content goes from host to host over this machine, and to no disk here."""
    layout = ",".join(tag for tag in chosen.tags if not tag.startswith("bytes="))
    words = [SCRIPT, "take", service, layout, f"{chosen.taken:%Y-%m-%d %H:%M:%S}", str(chosen.bytes or 0)]
    from_, to = _host(giving, service), _host(running, service)
    statuses: list[str] = []

    def line(text: str) -> None:
        if text.startswith(END):
            statuses.append(text.removeprefix(END))
        else:
            console.say(text.removeprefix("slipway: "))

    try:
        given = asyncio.run(
            ssh.hand_over(
                (giving.outputs, from_, shlex.join([SCRIPT, "emit", service, chosen.id])),
                (running.outputs, to, _with_status(words)),
                line,
            )
        )
    except Unreachable as error:
        raise CommandError(
            f"{from_} of the other stack, or {to}: {error}", "`./slip verify` shows what is wrong."
        ) from error
    # One that was ended, since the other host wanted no more of it, says nothing.
    if given.status > 0:
        raise CommandError(f"{from_} of the other stack could not read the backup: {_plain(given.stderr)}")
    return _exit_status("".join(statuses))


def _exit_status(text: str) -> int:
    return int(text) if text.isdecimal() else 1


def _with_status(words: Sequence[str]) -> str:
    """The order for a host's shell that prints its lines, and then its exit status."""
    # It goes on if this connection ends.
    order = f"({shlex.join(words)} 2>&1; echo {END}$?)"
    return f"bash -c {shlex.quote(order)}"


def _described(chosen: Kept, service: str) -> str:
    how_large = "" if chosen.bytes is None else f", {size(chosen.bytes)}"
    return f"The backup {chosen.id} of {service}: {chosen.what}, made {chosen.moment}{how_large}."


def _restore_state(stack: Stack, at: str | None, *, yes: bool) -> int:
    chosen = choose(parse(state_backup.listed(stack)), STATE, at)
    exported = state_backup.read(stack, chosen.id)
    now = len(deployment.resources(stack.deployment())) if stack.exists() else 0
    until = f"the state of now, with {now} resources," if now else "the state, which is empty or missing now,"
    console.say(
        f"{_described(chosen, STATE)} It takes the place of {until} and changes nothing on the hosts. Updates "
        "since then are forgotten, and what they have made is not known any more."
    )
    if not yes:
        console.confirm(
            f"Replace the state of '{stack.name}' by that of {chosen.moment}?", remedy="Pass --yes to do it."
        )
    state_backup.restore(stack, exported)
    console.say(
        f"The state of {chosen.moment} is in place. `./slip verify{stack.option}` compares it with the hosts, and "
        f"`./slip up{stack.option}` goes on from it."
    )
    return 0


def _drill_state(stack: Stack, last: Kept) -> int:
    started = time.monotonic()
    state_backup.check(stack)
    found = len(deployment.resources(state_backup.read(stack, last.id)["deployment"]))
    seconds = round(time.monotonic() - started)
    console.say(
        f"all that is kept is whole; the last has {found} resources, and the passphrase opens it; {seconds} s"
    )
    return 0


def drill(stack: Stack, service: str | None) -> int:
    """Restore the last backup of a service, or of each, beside what runs, and throw it away. Returns the exit status.

    Raises:
        CommandError: the service has no backups.

    """
    names = [service] if service else backed_up(stack)
    if not names:
        console.say("Nothing of this stack has backups, so there is nothing to restore.")
        return 1
    failed = []
    for name in names:
        try:
            last = choose(_kept(stack, name), name, None)
            if is_state(stack, name):
                console.say(f"{name}: the backup {last.id} of {last.moment}")
                _drill_state(stack, last)
                continue
            running = running_of(stack)
            host = _host(running, name)
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
        Kept(one["short_id"], moment(one["time"]), tuple(one.get("tags") or ()))
        for one in json.loads(text or "[]") or ()
    ]
    whole = [one for one in found if UNFINISHED not in one.tags]
    return sorted(whole, key=lambda one: one.taken, reverse=True)


def is_state(stack: Stack, name: str) -> bool:
    """Whether this name means the state: a service can have it, if the state has no backups."""
    return name == STATE and (STATE in stack.config.backups or name not in stack.config.services)


def backed_up(stack: Stack) -> list[str]:
    """The names of all that has backups."""
    return [*sorted(_backed_up(running_of(stack))), *([STATE] if STATE in stack.config.backups else [])]


def _kept(stack: Stack, name: str) -> list[Kept]:
    """The backups of one of these, the newest first."""
    if is_state(stack, name):
        return parse(state_backup.listed(stack))
    running = running_of(stack)
    return _list(running, _host(running, name), name)


def _backed_up(running: RunningStack) -> dict[str, Any]:
    found = dict(running.outputs.get("serviceBackups") or {})
    if of_registry := running.outputs.get("registryBackup"):
        found[REGISTRY] = of_registry
    return found


def _host(running: RunningStack, service: str) -> str:
    known = _backed_up(running)
    if service not in known:
        raise CommandError(
            f"{service} has no backups",
            f"With backups: {', '.join(sorted(known)) or 'nothing'}. "
            f"{f'slipway:{REGISTRY}' if service == REGISTRY else f'slipway:services.{service}'}.backup sets them up, "
            f"and then `./slip up{running.option}`.",
            status=2,
        )
    return (
        running.hosts_with("registry")[0]
        if service == REGISTRY
        else running.outputs["serviceHosts"][service][0]
    )


def _list(running: RunningStack, host: str, service: str) -> list[Kept]:
    result = ssh.run(running.outputs, host, shlex.join([SCRIPT, "list", service]), PATIENCE)
    if result.status:
        raise CommandError(f"{host}: {_plain(result.stderr)}", f"`./slip verify{running.option}` shows more.")
    return parse(result.stdout)


def _plain(text: str) -> str:
    return "\n".join(line.removeprefix("slipway: ") for line in text.strip().splitlines())


def _order(running: RunningStack, host: str, words: Sequence[str]) -> int:
    """Have a host do something, print its lines as they come, and return its exit status."""
    try:
        return asyncio.run(_follow(running, host, _with_status([SCRIPT, *words])))
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
    return _exit_status(status)
