"""Constraints on values, each with messages for what is wrong and what to write instead."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from configuration.units import Unit, quantity

WORDED = "slipway"
"""Type of pydantic's errors that `mistake` makes; their context has `wrong`, `remedy` and perhaps `value`."""

NAME = "NAME"
"""Stands in a remedy for the key whose value is wrong, which a validator does not know."""


def mistake(wrong: str, remedy: str, value: str | None = None) -> PydanticCustomError:
    """The error to raise in a validator.

    Args:
        wrong: what is wrong with the value.
        remedy: what to write instead, as a sentence.
        value: what the message shows in place of the value, where that must not be shown whole.
    """
    context = {"wrong": wrong, "remedy": remedy}
    return PydanticCustomError(WORDED, "{wrong}", context if value is None else context | {"value": value})


@dataclass(frozen=True)
class Within:
    """A whole number from `low` to `high`, both included. `what` is what the message calls it, `unit` its unit."""

    low: int
    high: int
    what: str
    unit: Unit | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, core_schema.int_schema(strict=True))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | {"minimum": self.low, "maximum": self.high}

    def _check(self, value: object) -> int:
        of_unit = f" of {self.unit}" if self.unit else ""
        if not isinstance(value, int) or isinstance(value, bool):
            number = quantity(value, self.unit) if isinstance(value, str) else None
            bare = ", without a unit" if self.unit else ""
            remedy = f"Write a whole number{of_unit} from {self.low} to {self.high}{bare}."
            if number is not None and self.low <= number <= self.high:
                plain = isinstance(value, str) and value.strip().isdigit()
                without = "Write it without quotes" if plain else f"Write {number}, without a unit"
                remedy = f"{without}{f': the setting is in {self.unit}' if self.unit else ''}."
            raise mistake("not a whole number", remedy)
        if not self.low <= value <= self.high:
            raise mistake(f"not {self.what}", f"Set a whole number{of_unit} from {self.low} to {self.high}.")
        return value


@dataclass(frozen=True)
class Matching:
    """A text that matches a pattern as a whole, with `length` characters at most."""

    pattern: str
    wrong: str
    remedy: str
    length: int | None = None
    is_shown: bool = True
    """Whether a message shows a value that does not match. A secret itself may have been written there."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, core_schema.str_schema(strict=True))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        limit = {} if self.length is None else {"maxLength": self.length}
        return handler(schema) | {"pattern": f"^(?:{self.pattern})$"} | limit

    def _check(self, value: str) -> str:
        shown = None if self.is_shown else "…"
        if self.length is not None and len(value) > self.length:
            raise mistake(f"{len(value)} characters long", f"Use {self.length} characters at most.", shown)
        if not re.fullmatch(self.pattern, value):
            raise mistake(self.wrong, self.remedy, shown)
        return value


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """No entry twice."""
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise mistake(f'lists "{twice[0]}" twice', "List each entry once.")
    return values


def not_empty(what: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """At least one entry."""

    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        if not values:
            raise mistake("empty", f"List {what}.")
        return values

    return check


def reserved(names: dict[str, str]) -> Callable[[str], str]:
    """None of these names; each comes with the reason why it is reserved."""

    def check(value: str) -> str:
        if value in names:
            raise mistake(f"reserved: {names[value]}", "Use another name.")
        return value

    return check
