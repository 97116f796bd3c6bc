"""pydantic's errors as problems: where, what is wrong, and what to write instead."""

import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from configuration.constraints import NAME, WORDED
from configuration.problems import UNSHOWN, Location, Problem, suggestion, words


def location_of(detail: ErrorDetails) -> Location:
    """The location of an error. pydantic appends `[key]` if the key of a map is invalid, not its value."""
    location = detail["loc"]
    return location[:-1] if location[-1:] == ("[key]",) else location


def problem_of(model: type[BaseModel], detail: ErrorDetails, hidden: frozenset[str]) -> Problem:
    """The problem that an error of pydantic's describes.

    Args:
        model: the model that was validated.
        detail: the error.
        hidden: the keys at the top whose values no message shows.
    """
    location = location_of(detail)
    wrong, remedy = _wording(model, detail, location)
    key_itself = detail["loc"][-1:] == ("[key]",)
    context = detail.get("ctx", {}) if detail["type"] == WORDED else {}
    value = context.get("value", detail["input"])
    # The path shows an invalid name already.
    unshown = location[0] in hidden or key_itself or detail["type"] in ("missing", "extra_forbidden")
    return Problem(location, wrong, remedy, UNSHOWN if unshown else value)


def _wording(model: type[BaseModel], detail: ErrorDetails, location: Location) -> tuple[str, str]:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    example = _example(model, location)
    if given is None and len(location) == 1 and kind != "extra_forbidden":
        return "has no value", f"Write keys and values{example}, or leave the key out."
    if kind == WORDED:
        return context["wrong"], re.sub(rf"\b{NAME}\b", lambda _: str(location[-1]), context["remedy"])
    match kind:
        case "extra_forbidden":
            allowed = sorted(_keys(model, location[:-1]))
            return "unknown key", f"{suggestion(location[-1], allowed)}Allowed here: {words(allowed)}."
        case "missing":
            return "missing", f"Set it{example}."
        case "literal_error":
            allowed = [str(word) for word in typing.get_args(_annotation(model, location))]
            return "unknown value", f"{suggestion(given, allowed)}Allowed: {words(allowed)}."
        case "string_type":
            if given is None:
                return "not a text", 'Write "" for an empty text, or a word of YAML such as "null" in quotes.'
            scalar = isinstance(given, (int, float))
            return "not a text", "Put it in quotes." if scalar else f"Write a text{example}."
        case "bool_type":
            return "neither true nor false", "Write true or false."
        case "dict_type" | "model_type" | "model_attributes_type":
            return "not a map", f"Write keys and values{example}."
        case "tuple_type" | "list_type":
            return "not a list", f"Write a list{example}."
        case "string_too_short" | "too_short":
            return "empty", f"Set it{example}, or leave the key out."
        case _:
            # Errors that a later pydantic may add: its own text is less helpful, but correct.
            return detail["msg"], f"Correct it{example}."


def _steps(model: type[BaseModel], location: Location) -> Iterator[tuple[Any, Any]]:
    """For each step of a location the expected type, and the model's field if the step is one."""
    annotation: Any = model
    for step in location:
        field = None
        if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            # A list, a map of one's own keys, or a map of settings.
            arms = [_plain(arm) for arm in typing.get_args(annotation)]
            of_map = isinstance(step, str)
            fit = [arm for arm in arms if _is_map(arm) == of_map]
            # Of several maps of settings, the one that has the key.
            annotation = next((arm for arm in fit if _has(arm, step)), fit[0] if fit else None)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = next((f for n, f in annotation.model_fields.items() if step in (f.alias, n)), None)
            annotation = field.annotation if field else None
        else:
            # A map, of which the second argument is the type of values, or a list.
            inner = typing.get_args(annotation)
            at = 1 if typing.get_origin(annotation) is dict else 0
            annotation = inner[at] if len(inner) > at else None
        annotation = _plain(annotation)
        yield annotation, field


def _plain(annotation: Any) -> Any:
    """The type without `Annotated` and `| None`."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    alternatives = [arm for arm in typing.get_args(annotation) if arm is not type(None)]
    if len(alternatives) == 1 and type(None) in typing.get_args(annotation):
        return _plain(alternatives[0])
    return annotation


def _is_map(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return typing.get_origin(annotation) is dict


def _has(annotation: Any, key: Any) -> bool:
    fields = (
        annotation.model_fields if isinstance(annotation, type) and issubclass(annotation, BaseModel) else {}
    )
    return any(key in (field.alias, name) for name, field in fields.items())


def _annotation(model: type[BaseModel], location: Location) -> Any:
    return [model, *(annotation for annotation, _ in _steps(model, location))][-1]


def _field(model: type[BaseModel], location: Location) -> Any:
    return [None, *(field for _, field in _steps(model, location))][-1]


def _keys(model: type[BaseModel], location: Location) -> list[str]:
    parent = _annotation(model, location)
    return [field.alias or name for name, field in parent.model_fields.items()]


def _example(model: type[BaseModel], location: Location) -> str:
    """`, such as …` if the setting or the required settings inside it have examples, or else an empty text."""
    field, expected = _field(model, location), _annotation(model, location)
    if field and field.examples:
        return f", such as {_flow(field.examples[0])}"
    if isinstance(expected, type) and issubclass(expected, BaseModel):
        entries = expected.model_fields.items()
        needed = {
            name: entry.examples[0] for name, entry in entries if entry.is_required() and entry.examples
        }
        return f", such as {_flow(needed)}" if needed else ""
    return ""


def _flow(example: Any) -> str:
    """An example in YAML's flow style."""
    if isinstance(example, dict):
        return f"{{ {', '.join(f'{key}: {_flow(value)}' for key, value in example.items())} }}"
    if isinstance(example, (list, tuple)):
        return f"[{', '.join(map(_flow, example))}]"
    return str(example)
