"""One mistake in the configuration: where it is, what is wrong, and what to write instead."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from well_known import DEFAULT_STACK, EMULATED, NAMESPACE

Location = tuple[str | int, ...]
"""Keys and list indices from the top of the settings: `("hosts", "web-1", "roles", 0)`."""


class _Unshown(Enum):
    UNSHOWN = "a value that is missing, irrelevant or secret"


UNSHOWN = _Unshown.UNSHOWN


@dataclass(frozen=True)
class Problem:
    """One mistake. `value` is what the user wrote, or UNSHOWN if messages must not show it."""

    location: Location
    wrong: str
    remedy: str
    value: object = field(default=UNSHOWN, repr=False)

    @property
    def path(self) -> str:
        """The location in the notation of `pulumi config set --path`."""
        return path_of(self.location)

    def __str__(self) -> str:
        value = "" if self.value is UNSHOWN else f" = {_shown(self.value)}"
        return f"{self.path}{value}: {self.wrong}. {self.remedy}"


class SettingsError(ValueError):
    """The configuration is invalid; `problems` holds every mistake in it."""

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
        # A key with a colon is not valid; it may be `alice:password` in the place of a name.
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
    """A value for a message, without the contents of maps and lists, which may hold a misplaced password."""
    if isinstance(value, dict):
        return "{…}" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[…]" if value else "[]"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"


def suggestion(wrong: object, allowed: Iterable[str]) -> str:
    """`Did you mean "roles"? ` if an allowed word is similar, or else an empty text."""
    near = difflib.get_close_matches(str(wrong), list(allowed), n=1, cutoff=0.6)
    return f'Did you mean "{near[0]}"? ' if near else ""


def command(arguments: str, stack: str) -> str:
    """A command of `./slip` on a stack, as it works when it is copied: `./slip secret set NAME -s prod`."""
    real = stack.removesuffix(EMULATED)
    emulated = " --emulate" if real != stack else ""
    return f"`./slip {arguments}{'' if stack == DEFAULT_STACK else f' -s {real}'}{emulated}`"


def words(items: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = list(items) or ["nothing"]
    return f"{', '.join(first)} and {last}" if first else last
