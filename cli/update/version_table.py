"""`slip history SERVICE` and `slip diff`: the versions of a service, of the state and of the registry."""

import json
from collections.abc import Mapping
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.stack import Stack
from cli.update import records
from cli.update.records import Lost
from cli.update.versions import Versions, as_record, differences, of, row

REGISTRY = "in the registry"
"""What is said of a version that the state does not have."""
UNVERIFIED = "in the registry, unverified"
"""What is said of one that another state has recorded, or somebody else."""

_RESULT = 6
"""The column with how a version's deployment ended."""


def show(stack: Stack, service: str, *, count: int, as_json: bool) -> None:
    """Print the versions of a service, the newest first: those of the state, and those that only the registry has."""
    found = of(deployment.stack_outputs(stack.deployment()), service, stack.option)
    lost = _lost(stack, found, count)
    if as_json:
        rows = [(one["number"], as_record(found, one)) for one in found.versions]
        rows += [(one.number, _as_record(found, one)) for one in lost]
        newest = sorted(rows, key=lambda one: -one[0])[:count]
        print(json.dumps([record for _, record in newest], indent=2))
        return
    lines = [(int(one["number"]), row(found, one)) for one in found.versions]
    lines += [(one.number, _row(found, one)) for one in lost]
    shown = [cells for _, cells in sorted(lines, key=lambda one: -one[0])[:count]]
    console.table(
        f"Versions of {service} in the stack '{stack.name}'",
        ("version", "image", "commit", "deployed (UTC)", "by", "took", "result", "hosts", "message"),
        shown,
    )
    if found.left:
        console.say(
            f"{service} was rolled back to version {found.current}, and stays there while a tree has version "
            f"{', '.join(map(str, found.left))}. To deploy that again: ./slip up --forward {service}{stack.option}"
        )
    if any(cells[_RESULT].endswith(UNVERIFIED) for cells in shown):
        console.say(
            "Unverified: another state has recorded it, such as one that was lost, or somebody who may push to the "
            f"registry. ./slip diff {service} VERSION{stack.option} shows what it would change."
        )


def show_difference(stack: Stack, service: str, first: str, second: str | None, *, as_json: bool) -> None:
    """Print what differs between two versions; the second one is the current one by default."""
    found = of(deployment.stack_outputs(stack.deployment()), service, stack.option)
    names = (first, str(found.current) if second is None else second)
    (before, first_own), (after, second_own) = (_version(stack, found, name) for name in names)
    pairs = differences(before, after, service, same_key=first_own and second_own)
    if as_json:
        print(
            json.dumps(
                {
                    "service": service,
                    "versions": [int(name) if name.isdecimal() else name for name in names],
                    "differences": [{"what": what, "values": [was, now]} for what, was, now in pairs],
                },
                indent=2,
            )
        )
        return
    if not pairs:
        console.result(f"Versions {names[0]} and {names[1]} of {service} are the same.")
        return
    console.table(
        f"{service}: {names[0]} and {names[1]}",
        (service, *(f"version {name}" for name in names)),
        pairs,
    )


def _version(stack: Stack, known: Versions, name: str) -> tuple[Mapping[str, Any], bool]:
    """A version, and whether this state has recorded it."""
    if name in map(str, known.numbers):
        return known.version(int(name), stack.option), True
    lost = records.find(stack, known, name)
    return lost.version, lost.is_verified


def _lost(stack: Stack, known: Versions, count: int) -> list[Lost]:
    """What only the registry has. Without it, the versions of the state are shown all the same."""
    try:
        return records.lost(stack, known, count)
    except (CommandError, OSError, ValueError) as error:
        console.warn(f"The registry was not asked for versions that the state does not have: {error}")
        return []


def _where(lost: Lost) -> str:
    return REGISTRY if lost.is_verified else UNVERIFIED


def _row(known: Versions, lost: Lost) -> tuple[str, ...]:
    cells = row(known, {**lost.version, "number": 0})
    return (lost.name, *cells[1:_RESULT], f"{cells[_RESULT]}, {_where(lost)}", *cells[_RESULT + 1 :])


def _as_record(known: Versions, lost: Lost) -> dict[str, Any]:
    record = as_record(known, lost.version)
    return {**record, "current": False, "registry": {"name": lost.name, "verified": lost.is_verified}}
