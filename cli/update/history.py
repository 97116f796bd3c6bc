"""`slip history`: the stack's updates, who made each, and which settings it changed.

Pulumi keeps a record of every update in the backend, with the configuration that it had. So everybody who can update
the stack sees the same, and an update needs no more than it did.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.stack.pulumi_errors import last_error
from cli.stack.stack import Stack

SECRET = "secret"  # noqa: S105 - a marker


@dataclass(frozen=True)
class Entry:
    """One update."""

    time: str
    """When it began, UTC: `2026-11-27 20:14`."""
    command: str
    """`up`, `down`, `refresh`, or as Pulumi calls it."""
    result: str
    """`succeeded`, `failed` or `in-progress`."""
    message: str
    changed: tuple[str, ...]
    """The settings that differ from those of the update before, such as `registry.users` or `passwords.alice (secret)`.
    Never a value."""


def entries(records: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """The updates, the newest first.

    Args:
        records: as `pulumi stack history --json --show-secrets` prints them, the newest first.
    """
    found, before = [], None
    for record in reversed(records):
        now = _settings(record.get("config") or {})
        changed = () if before is None else _difference(before, now)
        found.append(
            Entry(
                time=str(record.get("startTime", ""))[:16].replace("T", " "),
                command={"update": "up", "destroy": "down"}.get(
                    str(record.get("kind")), str(record.get("kind"))
                ),
                result=str(record.get("result", "")),
                message=str(record.get("message", "")),
                changed=changed,
            )
        )
        before = now
    return found[::-1]


def _settings(config: Mapping[str, Any]) -> dict[str, tuple[bool, str]]:
    """Each setting's path, whether it is a secret, and its value as text."""
    found: dict[str, tuple[bool, str]] = {}
    for key, value in config.items():
        _flatten(key.removeprefix("slipway:"), _value(value), bool(value.get("secret")), found)
    return found


def _value(value: Mapping[str, Any]) -> Any:
    if "objectValue" in value:
        return value["objectValue"]
    text = value.get("value", "")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _flatten(path: str, value: Any, secret: bool, found: dict[str, tuple[bool, str]]) -> None:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            _flatten(f"{path}.{name}", inner, secret, found)
    else:
        found[path] = (secret, json.dumps(value, sort_keys=True))


def _difference(
    before: Mapping[str, tuple[bool, str]], now: Mapping[str, tuple[bool, str]]
) -> tuple[str, ...]:
    changed = []
    for path in sorted(before.keys() | now.keys()):
        old, new = before.get(path), now.get(path)
        if (old and old[1]) == (new and new[1]) or _is_only_emptied(path, before, now):
            continue
        how = "" if old and new else "added" if new else "removed"
        notes = [SECRET] if (new or old or (False, ""))[0] else []
        notes += [how] if how else []
        changed.append(f"{path} ({', '.join(notes)})" if notes else path)
    return tuple(changed)


def _is_only_emptied(
    path: str, before: Mapping[str, tuple[bool, str]], now: Mapping[str, tuple[bool, str]]
) -> bool:
    """Whether a mapping lost its last setting, or got its first: that setting is the change, not the mapping."""
    value = (now.get(path) or before[path])[1]
    return value == "{}" and any(one.startswith(f"{path}.") for one in [*before, *now])


def _clean(text: str) -> str:
    """A line without control characters: a message is whatever its author wrote."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def run(stack: Stack, *, count: int, as_json: bool) -> None:
    """Print the last updates.

    Args:
        stack: the stack.
        count: how many.
        as_json: whether to print JSON.

    Raises:
        CommandError: the backend does not have the stack, or a secret in a record cannot be decrypted.
    """
    # One more than is shown: the oldest one's changes are those since the one before.
    page = ("--page", "1", "--page-size", str(count + 1))
    arguments = ("stack", "history", "--stack", stack.name, "--json", "--show-secrets", *page)
    result = stack.pulumi.attempt(*arguments)
    if result.returncode:
        # Not its output, which has the secrets.
        raise CommandError(
            f"the records of the stack '{stack.name}' cannot be read: {last_error(result.stderr)}", status=1
        )
    found = entries(json.loads(result.stdout or "[]"))[:count]
    if as_json:
        print(json.dumps([asdict(entry) for entry in found], indent=2))
        return
    for entry in found:
        console.result(_clean(f"{entry.time}  {entry.command:<8} {entry.result:<11} {entry.message}"))
        for change in entry.changed:
            console.result(_clean(f"    changed: {change}"))
