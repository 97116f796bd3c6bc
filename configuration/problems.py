"""One mistake in the configuration: where, what is wrong with it, and what to write instead."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

NAMESPACE = "slipway"
"""Every key of the stack's configuration that belongs to Slipway starts with `slipway:`."""

Location = tuple[str | int, ...]
"""Keys and list indices from the top of the settings: `("hosts", "web-1", "roles", 0)`."""


class _Unshown(Enum):
    UNSHOWN = "a value that is not there, says nothing or is nobody's business"


UNSHOWN = _Unshown.UNSHOWN


@dataclass(frozen=True)
class Problem:
    """One mistake. `value` is what the user wrote, unless it must not be shown."""

    location: Location
    wrong: str
    remedy: str
    value: object = field(default=UNSHOWN, repr=False)

    @property
    def path(self) -> str:
        """Where it is, as `pulumi config set --path` writes it."""
        return path_of(self.location)

    def __str__(self) -> str:
        value = "" if self.value is UNSHOWN else f" = {_shown(self.value)}"
        return f"{self.path}{value}: {self.wrong}. {self.remedy}"


class SettingsError(ValueError):
    """The configuration is wrong; `problems` holds every mistake in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def path_of(location: Location) -> str:
    """The location in Pulumi's own notation: `slipway:hosts.web-1.roles[0]`."""
    text = NAMESPACE
    for depth, part in enumerate(location):
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        # No key has a colon in it, unless somebody wrote `alice:password` where a name stands.
        name, colon, _ = part.partition(":")
        step = f"{name}:…" if colon else name
        if depth == 0:
            text += f":{step}"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", step):
            text += f".{step}"
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def _shown(value: object) -> str:
    """A value for a message. What is inside a map or a list is left out: it may be a password that went
    astray.
    """
    if isinstance(value, dict):
        return "{…}" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[…]" if value else "[]"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"


def suggestion(wrong: object, allowed: Iterable[str]) -> str:
    """`Did you mean "roles"? ` where one of the allowed words is near enough, else nothing."""
    near = difflib.get_close_matches(str(wrong), list(allowed), n=1, cutoff=0.6)
    return f'Did you mean "{near[0]}"? ' if near else ""


def words(items: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = list(items) or ["nothing"]
    return f"{', '.join(first)} and {last}" if first else last
