"""A stack's configuration without the secrets that nobody can decrypt any more."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Cleaned:
    """A configuration without its secrets."""

    text: str
    removed: tuple[str, ...]
    """The paths of the removed secrets, such as `slipway:secrets.DATABASE_URL`."""


def cleaned(text: str) -> Cleaned:
    """The configuration without its salt and its encrypted values; comments and everything else stay."""
    content = yaml.safe_load(text)
    if not isinstance(content, dict):
        return Cleaned(text, ())
    removed = tuple(".".join(path) for path in _secrets(content.get("config")))
    expected = _without(content)
    lines = text.splitlines(keepends=True)
    dropped = set(_lines(yaml.compose(text)))
    shorter = "".join(line for number, line in enumerate(lines) if number not in dropped)
    # Several values in one line, or whatever else YAML allows: then the comments go.
    if (yaml.safe_load(shorter) or {}) != expected:
        shorter = yaml.safe_dump(expected, sort_keys=False, allow_unicode=True)
    return Cleaned(shorter, removed)


def _is_secret(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"secure"}


def _secrets(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if _is_secret(value):
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _secrets(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _secrets(item, (*path, str(number)))


def _without(value: Any) -> Any:
    """The value without secrets, and without objects that had nothing else."""
    if isinstance(value, list):
        return [_without(item) for item in value if not _is_secret(item)]
    if not isinstance(value, dict):
        return value
    return {
        key: _without(item)
        for key, item in value.items()
        if key != "encryptionsalt" and not _has_only_secrets(item)
    }


def _has_only_secrets(value: object) -> bool:
    if _is_secret(value):
        return True
    return isinstance(value, dict) and bool(value) and all(_has_only_secrets(item) for item in value.values())


def _lines(node: yaml.Node | None) -> Iterator[int]:
    """The lines of the salt and of objects that have only secrets."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if key.value == "encryptionsalt" or _node_has_only_secrets(value):
            yield from range(key.start_mark.line, _last_line(value) + 1)
        else:
            yield from _lines(value)


def _node_has_only_secrets(node: yaml.Node) -> bool:
    if not isinstance(node, yaml.MappingNode) or not node.value:
        return False
    keys = [key.value for key, _ in node.value]
    return keys == ["secure"] or all(_node_has_only_secrets(value) for _, value in node.value)


def _last_line(node: yaml.Node) -> int:
    if isinstance(node, yaml.MappingNode):
        return max(_last_line(value) for _, value in node.value)
    line: int = node.end_mark.line
    # A block scalar ends at the start of the next line.
    return line - 1 if node.end_mark.column == 0 and line > node.start_mark.line else line
