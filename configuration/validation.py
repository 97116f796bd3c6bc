"""From what a user wrote to settings, or to all of its mistakes at once.

pydantic reports every wrong field, but stops short of what several fields mean together. So wrong fields
are taken out, and what is left is checked further; a check leaves out what depends on a field that was
taken out.
"""

import copy
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from configuration.checks import every
from configuration.checks.context import Checks
from configuration.problems import UNSHOWN, Location, Problem, SettingsError, suggestion, words
from configuration.settings import StackSettings
from configuration.types import WORDED

PLATFORMS_TO_COME = ("ssh",)

SECRET_KEYS = ("passwords", "secrets")
"""Keys whose values are never shown, whatever is wrong with them."""

SECRET_LENGTH = 12
"""Characters. A secret as long as this is not shown where it got by mistake either; a shorter one may be a word that
messages need."""


def validated(
    configuration: Mapping[str, Any],
    directory: Path,
    secret_keys: frozenset[str] | None,
) -> StackSettings:
    """See `load.validate`."""
    values = copy.deepcopy(dict(configuration))
    hidden = frozenset(SECRET_KEYS) | (secret_keys or frozenset())
    problems: list[Problem] = []
    reported: list[Problem] = []
    invalid: list[Location] = []

    if later := _platform_to_come(values):
        # Its hosts are described in other words, which cannot be judged here.
        problems.append(later)
        invalid += [("platform",), ("hosts",)]
        for key in ("platform", "hosts"):
            values.pop(key, None)

    settings = None
    while settings is None:
        try:
            settings = StackSettings.model_validate(values)
        except ValidationError as error:
            details = error.errors(include_url=False)
            if not reported:
                reported = [_problem(StackSettings, detail, hidden) for detail in details]
            wrong = {_location(detail) for detail in details}
            invalid += [*wrong, *(_take_out(values, location) for location in sorted(wrong, key=_last_first))]
    problems += reported

    problems += every.problems(
        Checks(settings=settings, invalid_locations=invalid, directory=directory, secret_keys=secret_keys)
    )
    problems = list(_redacted(problems, {key: configuration.get(key) for key in hidden}))
    if problems:
        order = list(StackSettings.model_fields)
        raise SettingsError(
            sorted(problems, key=lambda p: order.index(str(p.location[0])) if p.location[0] in order else -1)
        )
    return settings


def _platform_to_come(values: Mapping[str, Any]) -> Problem | None:
    platform = values.get("platform")
    kind = platform.get("kind") if isinstance(platform, dict) else None
    if kind not in PLATFORMS_TO_COME:
        return None
    return Problem(
        ("platform", "kind"),
        f"platform kind {kind} is not available in this version",
        "Use local or aws.",
        kind,
    )


def _redacted(problems: list[Problem], secret: object) -> Iterator[Problem]:
    """The problems without the secrets that got into places where they do not belong."""
    secrets = {text for text in _texts(secret) if len(text) >= SECRET_LENGTH}

    def clean(text: str) -> str:
        for found in secrets:
            text = text.replace(found, "…")
        return text

    for problem in problems:
        yield Problem(
            tuple(clean(step) if isinstance(step, str) else step for step in problem.location),
            clean(problem.wrong),
            clean(problem.remedy),
            clean(problem.value) if isinstance(problem.value, str) else problem.value,
        )


def _texts(value: object) -> Iterator[str]:
    """Every text inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _texts(entry)


def _location(detail: ErrorDetails) -> Location:
    """Where the mistake is. pydantic marks the key of a map, as against its value, by a last `[key]`."""
    location = detail["loc"]
    return location[:-1] if location[-1:] == ("[key]",) else location


def _last_first(location: Location) -> list[tuple[int, str]]:
    """Sorts the later entries of a list before the earlier, so that taking one out moves no other."""
    return [(-step, "") if isinstance(step, int) else (0, step) for step in location]


def _take_out(values: dict[str, Any], location: Location) -> Location:
    """Removes a wrong value, or what holds it where it is one that is missing; returns what was removed."""
    for depth in range(len(location), 0, -1):
        parent: Any = values
        try:
            for step in location[: depth - 1]:
                parent = parent[step]
            del parent[location[depth - 1]]
        except (KeyError, IndexError, TypeError):
            continue
        return location[:depth]
    values.clear()
    return ()


def _problem(model: type[BaseModel], detail: ErrorDetails, hidden: frozenset[str]) -> Problem:
    location = _location(detail)
    wrong, remedy = _wording(model, detail, location)
    key_itself = detail["loc"][-1:] == ("[key]",)
    context = detail.get("ctx", {}) if detail["type"] == WORDED else {}
    value = context.get("value", detail["input"])
    # A name that is wrong is in the path already.
    unshown = location[0] in hidden or key_itself or detail["type"] in ("missing", "extra_forbidden")
    return Problem(location, wrong, remedy, UNSHOWN if unshown else value)


def _wording(model: type[BaseModel], detail: ErrorDetails, location: Location) -> tuple[str, str]:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    example = _example(model, location)
    match kind:
        case "slipway":
            return context["wrong"], context["remedy"]
        case "extra_forbidden":
            allowed = sorted(_keys(model, location[:-1]))
            return "unknown key", f"{suggestion(location[-1], allowed)}Allowed here: {words(allowed)}."
        case "missing":
            return "missing", f"Set it{example}."
        case "literal_error":
            allowed = [str(word) for word in typing.get_args(_annotation(model, location))]
            return "unknown value", f"{suggestion(given, allowed)}Allowed: {words(allowed)}."
        case "int_type" | "int_from_float":
            quoted = isinstance(given, str) and given.strip().isdigit()
            return "not a whole number", "Write it without quotes." if quoted else "Write a whole number."
        case "string_type":
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
            # Anything that pydantic may add one day: its own words say less, but they are never wrong.
            return detail["msg"], f"Correct it{example}."


def _steps(model: type[BaseModel], location: Location) -> Iterator[tuple[Any, Any]]:
    """For each step of a location the type that is expected there, and the model's field if it is one."""
    annotation: Any = model
    for step in location:
        field = None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = next((f for n, f in annotation.model_fields.items() if step in (f.alias, n)), None)
            annotation = field.annotation if field else None
        else:
            # The values of a map, or the entries of a list.
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


def _annotation(model: type[BaseModel], location: Location) -> Any:
    return [model, *(annotation for annotation, _ in _steps(model, location))][-1]


def _field(model: type[BaseModel], location: Location) -> Any:
    return [None, *(field for _, field in _steps(model, location))][-1]


def _keys(model: type[BaseModel], location: Location) -> list[str]:
    parent = _annotation(model, location)
    return [field.alias or name for name, field in parent.model_fields.items()]


def _example(model: type[BaseModel], location: Location) -> str:
    """`, such as …` where the setting has an example, or the settings below it that must be there have."""
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
    """An example in YAML's short notation."""
    if isinstance(example, dict):
        return f"{{ {', '.join(f'{key}: {_flow(value)}' for key, value in example.items())} }}"
    if isinstance(example, (list, tuple)):
        return f"[{', '.join(map(_flow, example))}]"
    return str(example)
