"""From a configuration to settings, or to all of its mistakes at once.

If any value is invalid, pydantic reports all invalid values but returns no settings, which the checks need. So invalid
values are taken out, and the checks run on the rest; a check skips what depends on a value that was taken out.
"""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configuration.checks import every
from configuration.checks.context import Checks
from configuration.problems import Location, Problem, SettingsError
from configuration.pydantic_errors import location_of, problem_of
from configuration.settings import StackSettings
from configuration.types import STACK_CONTEXT

PLANNED_PLATFORMS = ("ssh",)
"""Kinds of platforms that a later version will have."""

SECRET_KEYS = ("passwords", "secrets")
"""Keys whose values no message shows."""

SECRET_LENGTH = 12
"""Characters. A secret of this length or more is removed from all messages, wherever it was written; a shorter one may
be a word that messages need."""


def validated(
    configuration: Mapping[str, Any], directory: Path, secret_keys: frozenset[str] | None, stack: str
) -> StackSettings:
    """See `load.validate`."""
    values = copy.deepcopy(dict(configuration))
    hidden = frozenset(SECRET_KEYS) | (secret_keys or frozenset())
    problems: list[Problem] = []
    reported: list[Problem] = []
    invalid: list[Location] = []

    if planned := _planned_platform(values):
        # Its hosts have settings that this version does not know.
        problems.append(planned)
        invalid += [("platform",), ("hosts",)]
        for key in ("platform", "hosts"):
            values.pop(key, None)

    settings = None
    while settings is None:
        try:
            settings = StackSettings.model_validate(values, context={STACK_CONTEXT: stack})
        except ValidationError as error:
            details = error.errors(include_url=False)
            if not reported:
                reported = [problem_of(StackSettings, detail, hidden) for detail in details]
            wrong = {location_of(detail) for detail in details}
            invalid += [*wrong, *(_take_out(values, location) for location in sorted(wrong, key=_last_first))]
    problems += reported

    problems += every.problems(
        Checks(
            settings=settings,
            invalid_locations=invalid,
            directory=directory,
            secret_keys=secret_keys,
            stack=stack,
        )
    )
    problems = list(_redacted(problems, {key: configuration.get(key) for key in hidden}))
    if problems:
        order = list(StackSettings.model_fields)
        raise SettingsError(
            sorted(problems, key=lambda p: order.index(str(p.location[0])) if p.location[0] in order else -1)
        )
    return settings


def _planned_platform(values: Mapping[str, Any]) -> Problem | None:
    platform = values.get("platform")
    kind = platform.get("kind") if isinstance(platform, dict) else None
    if kind not in PLANNED_PLATFORMS:
        return None
    return Problem(
        ("platform", "kind"),
        f"platform kind {kind} is not available in this version",
        "Use local or aws.",
        kind,
    )


def _redacted(problems: list[Problem], secret: object) -> Iterator[Problem]:
    """The problems without secrets that were written in other places."""
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


def _last_first(location: Location) -> list[tuple[int, str]]:
    """A sort key: the later entries of a list come first, so that taking one out moves no other."""
    return [(-step, "") if isinstance(step, int) else (0, step) for step in location]


def _take_out(values: dict[str, Any], location: Location) -> Location:
    """Remove an invalid value, or if it is missing, the map that lacks it; return the location of what was removed."""
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
