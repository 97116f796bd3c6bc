"""Which inputs a resource takes, and the messages for bad ones."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from plugins.protocol.messages import CheckFailure, CheckRequest
from plugins.protocol.properties import Archive, Asset, Unknown, plain
from plugins.protocol.provider import unsupported

Kind = type | tuple[type, ...]

_KIND_NAMES: dict[Kind, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    list: "a list",
    dict: "an object",
    Asset: "an asset",
    (Asset, Archive): "an asset or an archive",
    (int, float): "a number",
}


class Field(NamedTuple):
    """One input: its Python type and its limits."""

    kind: Kind = str
    required: bool = False
    choices: tuple[str, ...] = ()
    items: "Field | None" = None
    """What each item of a list must be."""
    fields: "Mapping[str, Field] | None" = None
    """The fields of an object; with None any names are allowed, and each value must be as `items` says."""
    minimum: int | None = None
    maximum: int | None = None
    """Of a number; of a text, the most characters."""
    pattern: str = ""
    """A regular expression that the whole text matches."""
    wrong: Callable[[Any], str | None] | None = None
    """What is wrong with a value that all other limits allow; None if nothing is."""


def validate(request: CheckRequest, fields: Mapping[str, Field], resource: str) -> list[CheckFailure]:
    """Return every bad input of `request`, for a `resource` that takes `fields`."""
    failures = unsupported(request, fields, resource)
    for name, field in fields.items():
        failures += _check(name, request.news.get(name), field)
    return failures


def _check(path: str, value: Any, field: Field) -> list[CheckFailure]:
    value = plain(value)
    if isinstance(value, Unknown):
        return []
    if value is None:
        return [CheckFailure(path, f"Missing required property {path!r}")] if field.required else []
    if not isinstance(value, field.kind) or (isinstance(value, bool) and field.kind is not bool):
        return [CheckFailure(path, f"{path} has to be {_KIND_NAMES[field.kind]}, not {_name_of(value)}")]
    if field.choices and value not in field.choices:
        allowed = ", ".join(field.choices)
        return [CheckFailure(path, f"{path} has to be one of {allowed}; it is {value!r}")]
    if field.minimum is not None and isinstance(value, (int, float)) and value < field.minimum:
        return [CheckFailure(path, f"{path} has to be {field.minimum} or more; it is {value}")]
    if failure := _too_large(path, value, field):
        return [failure]
    if field.pattern and isinstance(value, str) and not re.fullmatch(field.pattern, value, re.DOTALL):
        return [CheckFailure(path, f"{path} has to match {field.pattern}; it is {value!r}")]
    if field.wrong and (reason := field.wrong(value)):
        return [CheckFailure(path, f"{path} {reason}")]
    if isinstance(value, list) and field.items:
        items = [_check(f"{path}[{index}]", item, field.items) for index, item in enumerate(value)]
        return [failure for failures in items for failure in failures]
    if isinstance(value, dict):
        return _check_object(path, value, field)
    return []


def _too_large(path: str, value: Any, field: Field) -> CheckFailure | None:
    if field.maximum is None:
        return None
    if isinstance(value, str) and len(value) > field.maximum:
        # Not the text itself, which may be long or secret.
        return CheckFailure(
            path, f"{path} has to have {field.maximum} characters or fewer; it has {len(value)}"
        )
    if isinstance(value, (int, float)) and value > field.maximum:
        return CheckFailure(path, f"{path} has to be {field.maximum} or less; it is {value}")
    return None


def _check_object(path: str, value: dict[str, Any], field: Field) -> list[CheckFailure]:
    failures: list[CheckFailure] = []
    if field.fields is None:
        for name, item in value.items():
            failures += _check(f"{path}.{name}", item, field.items) if field.items else []
        return failures
    for name in value.keys() - field.fields.keys():
        failures.append(
            CheckFailure(f"{path}.{name}", f"Slipway's stand-in plugin does not support {path}.{name}")
        )
    for name, inner in field.fields.items():
        failures += _check(f"{path}.{name}", value.get(name), inner)
    return failures


def _name_of(value: Any) -> str:
    kinds = [name for kind, name in _KIND_NAMES.items() if isinstance(kind, type) and type(value) is kind]
    return kinds[0] if kinds else type(value).__name__
