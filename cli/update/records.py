"""The records of versions in the stack's registry: written after an update, and read where the state has lost them.

Nothing here fails an update: what could not be written now is written after the next one. Plain `pulumi up` writes no
records; the next `./slip up` does.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import console
from cli.errors import CommandError
from cli.running.version_document import content, is_version, result_of, whole
from cli.stack import deployment
from cli.stack.project import write_private
from cli.stack.stack import Stack
from cli.update import versions
from cli.update.versions import Versions

if TYPE_CHECKING:
    from cli.running.version_records import Entry, VersionRecords

_TAKES_NONE = frozenset({400, 404, 405, 415, 422})
"""HTTP statuses of a registry that does not know OCI artifacts, or does not take manifests with a `subject`."""
_DIGEST_DIGITS = 8
"""How much of a record's digest tells it from another one with the same number."""


@dataclass(frozen=True)
class Lost:
    """A version that the registry has a record of, and the stack's state has not."""

    name: str
    """Its number; with `@` and the beginning of the record's digest where the state, or another record, has that
    number, too."""
    version: Mapping[str, Any]
    is_verified: bool
    """Whether this state has written the record. Another one was lost since, or is another clone's."""
    free: int
    """A number that neither the state nor a record has."""

    @property
    def number(self) -> int:
        """Its number."""
        return int(self.version["number"])


def catch_up(stack: Stack, *, has_changed: bool) -> None:
    """Write the records that the registry lacks; an update without a change reads two files for it.

    Args:
        stack: the stack.
        has_changed: whether the update has changed something.

    """
    path = _file(stack)
    if not has_changed and stack.backend.directory is None and path.exists():
        return
    outputs = deployment.stack_outputs(stack.deployment())
    wanted = {
        _id(service, one): (service, one)
        for service, known in versions.every(outputs).items()
        for one in map(whole, known.versions)
    }
    place = _place(outputs)
    missing: dict[str, list[Mapping[str, Any]]] = {}
    for name in wanted.keys() - _written(path, place):
        service, version = wanted[name]
        missing.setdefault(service, []).append(version)
    if not missing:
        return
    try:
        _write(stack, missing)
    except (CommandError, OSError, ValueError) as error:
        forget(stack)
        code = getattr(error, "code", 0)
        if code not in _TAKES_NONE:
            console.warn(
                "The registry does not have the records of all versions yet, and the next "
                f"`./slip up{stack.option}` writes them: {error}"
            )
            return
        # To ask at each update would not help.
        console.warn(f"The registry takes no records of versions, so only the state has them: {error}")
    # It saves questions: a folder that cannot be written fails no update.
    with suppress(OSError):
        write_private(path, json.dumps({"place": place, "written": sorted(wanted)}) + "\n")


def forget(stack: Stack) -> None:
    """Let the next update look for all records: the registry may have lost some."""
    with suppress(OSError):
        _file(stack).unlink()


def lost(stack: Stack, known: Versions, count: int) -> list[Lost]:
    """The versions of a service that the registry has records of and the state has not, the newest first.

    Args:
        stack: the stack.
        known: the versions in the state.
        count: how many versions to show at most, with those in the state.

    Raises:
        CommandError: the registry does not answer.

    """
    with _opened(stack, known.service) as records:
        names = _names(records, stack, known)
        shown = sorted([*known.numbers, *(entry.number for entry in names.values())], reverse=True)[:count]
        return [
            Lost(name, record.version, record.is_sealed, _free(known, names))
            for name, entry in names.items()
            if entry.number >= shown[-1] and (record := records.read(entry))
        ]


def find(stack: Stack, known: Versions, name: str) -> Lost:
    """A version in the registry that the state does not have.

    Raises:
        CommandError: there is none; the message lists all versions.

    """
    also = ""
    try:
        with _opened(stack, known.service) as records:
            names = _names(records, stack, known)
            if name in names and (record := records.read(names[name])):
                return Lost(name, record.version, record.is_sealed, _free(known, names))
        also = f"; in the registry: {', '.join(names)}" if names else ""
    except (CommandError, OSError, ValueError) as error:
        also = f". The registry was not asked for others: {error}"
    raise CommandError(
        f"{known.service} has no version {name}. Versions: {', '.join(map(str, known.numbers))}{also}",
        f"`./slip history {known.service}{stack.option}` shows them.",
        status=1,
    )


@contextmanager
def _opened(stack: Stack, service: str) -> "Iterator[VersionRecords]":
    """The records of a service, for one block.

    Raises:
        CommandError: the stack is not up, or no account of its registry has a password.

    """
    # Slow to import: an everyday update goes without them.
    from cli.running.registry_api import RegistryApi
    from cli.running.stack import Failed, RunningStack
    from cli.running.version_records import VersionRecords

    outputs = stack.outputs()
    running = RunningStack.of(outputs, name=stack.short_name, option=stack.option)
    try:
        endpoint = running.registry_endpoint
    except Failed as error:
        raise CommandError(str(error), f"`./slip up{stack.option}` makes passwords.", status=1) from error
    with RegistryApi(endpoint) as api:
        yield VersionRecords(api, running.repository(service), outputs["sshPrivateKey"])


def _names(records: "VersionRecords", stack: Stack, known: Versions) -> "dict[str, Entry]":
    """The entries of versions that the state does not have, by what people call them; the newest first."""
    mine = {content(whole(one)) for one in known.versions}
    found = sorted(
        (
            one
            for one in records.entries()
            if (one.stack, one.service) == (stack.short_name, known.service) and one.content not in mine
        ),
        key=lambda one: (-one.number, one.digest),
    )
    numbers = Counter([*known.numbers, *(one.number for one in found)])
    return {
        str(one.number)
        if numbers[one.number] == 1
        else f"{one.number}@{one.digest.partition(':')[2][:_DIGEST_DIGITS]}": one
        for one in found
    }


def _free(known: Versions, names: "Mapping[str, Entry]") -> int:
    return max([*known.numbers, *(entry.number for entry in names.values())]) + 1


def _write(stack: Stack, missing: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write records of versions, by service."""
    for service, found in missing.items():
        with _opened(stack, service) as records:
            # The oldest first: retention counts from the last push.
            for version in sorted(found, key=lambda one: int(one["number"])):
                if is_version(version):
                    records.write(stack.short_name, service, version)


def _id(service: str, version: Mapping[str, Any]) -> str:
    return f"{service} {content(version)} {result_of(version)}"


def _file(stack: Stack) -> Path:
    """Which records the registry has, as this clone knows."""
    return stack.project.private / "records" / stack.key


def _place(outputs: Mapping[str, Any]) -> str:
    """A word that is another one for another registry, or for another stack of the same name."""
    hosts = outputs.get("hosts") or {}
    keys = sorted(str(facts.get("sshHostKey", "")) for facts in hosts.values())
    return sha256(json.dumps([outputs.get("registryAddress"), keys]).encode()).hexdigest()[:16]


def _written(path: Path, place: str) -> set[str]:
    try:
        known = json.loads(path.read_text())
        return set(known["written"]) if known["place"] == place else set()
    except (OSError, ValueError, LookupError, TypeError):
        return set()
