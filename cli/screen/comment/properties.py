"""The properties that a step changes, as a comment shows them: never a secret, nor what may well hold one."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from cli.screen.comment.markdown import code
from cli.screen.events import SECRET, UNKNOWN, Step

_VALUES_HIDDEN = re.compile(
    r"envs?$|environment|args?$|uploads|stdin|create$|update$|delete$|userData|triggers|command|entrypoint"
    r"|passw|passphrase|secret|token|credential|privateKey|content|pem$",
    re.IGNORECASE,
)
"""Properties whose values are not shown though Pulumi does not know them as secrets: people put secrets there."""
OF_PLUGINS = frozenset({"__defaults", "contextDigest"})
"""What plugins add to inputs by themselves, the official ones otherwise than the stand-ins."""
_MOST = 8
"""How many entries of a property are named."""
_MISSING = object()
_HEXADECIMAL = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,}\b")
"""Digests and commits, of which the first digits tell enough."""


def changed_properties(step: Step, *, values: bool = True) -> list[str]:
    """What changes of each property: `` `memory`: `256` → `512` ``. With `values=False` only the names."""
    names = sorted(step.changed | step.replacing)
    if not values:
        return [code(name) for name in names]
    return [
        _described(name, step.before.get(name, _MISSING), step.after.get(name, _MISSING)) for name in names
    ]


def _described(name: str, old: Any, new: Any) -> str:
    label = code(name)
    if old is _MISSING and new is _MISSING:  # an output, or a property that the log does not have
        return label
    if _holds(old, SECRET) or _holds(new, SECRET):
        return f"{label} changed (secret)"
    if _VALUES_HIDDEN.search(name):
        keys = _changed_keys(_by_key(old), _by_key(new))
        return f"{label} changed" + (f" ({', '.join(code(key) for key in keys)})" if keys else "")
    if _is_scalar(old) and _is_scalar(new):
        return f"{label}: {_shown(old)} → {_shown(new)}"
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(
            key for key in {*old, *new} - OF_PLUGINS if old.get(key, _MISSING) != new.get(key, _MISSING)
        )
        parts = [_described(key, old.get(key, _MISSING), new.get(key, _MISSING)) for key in keys[:_MOST]]
        rest = f", and {len(keys) - _MOST} more" if len(keys) > _MOST else ""
        return f"{label} ({', '.join(parts)}{rest})" if parts else label
    return f"{label} changed"


def _is_scalar(value: Any) -> bool:
    return value is _MISSING or value is None or isinstance(value, str | int | float)


def _shown(value: Any) -> str:
    if value is _MISSING or value is None:
        return "none"
    if value == UNKNOWN:
        return "known after the update"
    if isinstance(value, bool):
        return code(str(value).lower())
    text = _HEXADECIMAL.sub(r"\1", str(value))
    # Pieces of files and keys say nothing in a line.
    return f"{len(text.splitlines())} lines" if "\n" in text.strip() else code(text)


def _holds(value: Any, wanted: str) -> bool:
    if isinstance(value, Mapping):
        return any(_holds(item, wanted) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds(item, wanted) for item in value)
    return isinstance(value, str) and value == wanted


def _by_key(value: Any) -> dict[str, Any]:
    """The entries of an environment: a mapping, or lines KEY=VALUE."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list):
        return dict(item.partition("=")[::2] for item in value if isinstance(item, str) and "=" in item)
    return {}


def _changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    keys: Iterable[str] = {*old, *new}
    found = sorted(key for key in keys if old.get(key, _MISSING) != new.get(key, _MISSING))
    return found if len(found) <= _MOST else [*found[:_MOST], f"{len(found) - _MOST} more"]
