"""The Pulumi CLI's event log: a line of JSON for each event of its engine (`apitype.EngineEvent` of its SDK)."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

UNCHANGED = frozenset({"same", "refresh", "read", "read-discard", "read-replacement"})
"""Operations that leave everything as it is."""

SECRET = "[secret]"  # noqa: S105 - what stands for one
"""What the engine writes in place of a secret (`pkg/engine/events.go`)."""
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes in place of a value that is known after the update (`plugin.UnknownStringValue`)."""

Properties = Mapping[str, Any]

_COLOUR = re.compile(r"<\{%.*?%\}>|\x1b\[[0-9;]*m")
"""The engine's marks for colours, which the CLI replaces, and colours of a terminal."""


@dataclass(frozen=True)
class Step:
    """One operation of the engine on one resource."""

    operation: str
    """As Pulumi names it: `create`, `update`, `create-replacement`, `delete-replaced`, `same` …"""
    urn: str
    parent: str = ""
    """The parent's URN."""
    changed: frozenset[str] = frozenset()
    """The names of the inputs that differ."""
    replacing: frozenset[str] = frozenset()
    """The names of the inputs for which the resource is replaced."""
    is_gone: bool = False
    """Whether a refresh found that the resource no longer exists."""
    retained: bool = False
    """Whether a deletion leaves the real thing where it is."""
    before: Properties = field(default_factory=dict, compare=False, repr=False)
    """The inputs until now; a secret is `SECRET`."""
    after: Properties = field(default_factory=dict, compare=False, repr=False)
    """The inputs from now on; a secret is `SECRET`, and what is not known yet is `UNKNOWN`."""
    outputs_before: Properties = field(default_factory=dict, compare=False, repr=False)
    outputs_after: Properties = field(default_factory=dict, compare=False, repr=False)
    protect: bool = False
    """Whether Pulumi refuses to delete the resource."""
    retains: bool = False
    """Whether the real thing is to stay when the resource goes."""

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.urn.rpartition("::")[2]

    @property
    def types(self) -> tuple[str, ...]:
        """The types of the resource's parents and its own type, which is the last one."""
        parts = self.urn.split("::")
        return tuple(parts[2].split("$")) if len(parts) > 3 else ("",)

    @property
    def type(self) -> str:
        """The resource's type, such as `docker:index/container:Container`."""
        return self.types[-1]

    @property
    def parent_name(self) -> str:
        """The parent's name; empty without a parent."""
        return self.parent.rpartition("::")[2]

    @property
    def is_component(self) -> bool:
        """Whether the resource only contains others, as the stack itself does."""
        return self.type.startswith(("slipway:", "pulumi:pulumi:"))

    @property
    def is_change(self) -> bool:
        """Whether something changes."""
        return self.operation not in UNCHANGED


@dataclass(frozen=True)
class Began:
    """The engine begins a step."""

    step: Step


@dataclass(frozen=True)
class Done:
    """The engine has done a step."""

    step: Step


@dataclass(frozen=True)
class Failed:
    """A step failed. A message with the reason came before."""

    step: Step


@dataclass(frozen=True)
class Message:
    """Something that the engine, the program or a plugin said."""

    urn: str
    severity: str
    """`debug`, `info`, `warning` or `error`."""
    text: str
    is_status: bool = False
    """Whether it is only of interest while the resource's operation runs."""


@dataclass(frozen=True)
class Summary:
    """How many resources each operation had."""

    counts: Mapping[str, int] = field(default_factory=dict)


Event = Began | Done | Failed | Message | Summary


def parse(line: str | bytes) -> Event | None:
    """The event of a line; None for events and lines that no one here needs."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict):
        return None
    if found := event.get("resourcePreEvent"):
        return Began(_step(found["metadata"]))
    if found := event.get("resOutputsEvent"):
        return Done(_step(found["metadata"]))
    if found := event.get("resOpFailedEvent"):
        return Failed(_step(found["metadata"]))
    if found := event.get("diagnosticEvent"):
        text = _COLOUR.sub("", str(found.get("message") or ""))
        return Message(
            str(found.get("urn") or ""), str(found.get("severity") or ""), text, bool(found.get("ephemeral"))
        )
    if found := event.get("summaryEvent"):
        return Summary(dict(found.get("resourceChanges") or {}))
    return None


def _step(metadata: Mapping[str, Any]) -> Step:
    old, new = metadata.get("old") or {}, metadata.get("new") or {}
    operation = str(metadata.get("op"))
    detailed = metadata.get("detailedDiff") or {}
    return Step(
        operation=operation,
        urn=str(metadata.get("urn")),
        parent=str(new.get("parent") or old.get("parent") or ""),
        changed=frozenset(_first(path) for path in (detailed or metadata.get("diffs") or ())),
        replacing=frozenset(
            [_first(path) for path in metadata.get("keys") or ()]
            + [
                _first(path)
                for path, difference in detailed.items()
                if str((difference or {}).get("diffKind")).endswith("replace")
            ]
        ),
        is_gone=operation == "refresh" and bool(old) and not new,
        retained=bool(old.get("retainOnDelete")),
        before=old.get("inputs") or {},
        after=new.get("inputs") or {},
        outputs_before=old.get("outputs") or {},
        outputs_after=new.get("outputs") or {},
        protect=bool(new.get("protect")),
        retains=bool(new.get("retainOnDelete")),
    )


def _first(path: str) -> str:
    """The input's name at the beginning of a property path: `ports[0].ip` is about `ports`."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


class Log:
    """The open file that the CLI writes its events into. Reading it does not disturb the CLI."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0
        self._rest = b""

    def read(self) -> Iterator[Event]:
        """The events since the last call."""
        # Reading at a position of our own: the CLI may share the file's position.
        while chunk := os.pread(self._descriptor, 1 << 20, self._position):
            self._position += len(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                if line and (event := parse(line)):
                    yield event
