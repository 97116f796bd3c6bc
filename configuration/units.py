"""The units of settings, and the numbers in texts such as `512m`, `10GiB` and `30s`."""

import re
from fractions import Fraction
from typing import Literal

Unit = Literal["MiB", "GiB", "seconds", "hours", "days"]

_MEMORY: dict[str, Fraction | int] = {
    "b": Fraction(1, 1 << 20),
    "k": Fraction(1, 1 << 10),
    "m": 1,
    "g": 1 << 10,
    "t": 1 << 20,
}
"""MiB in each unit, by its first letter. As in Docker, MB means MiB."""
_TIME: dict[str, Fraction | int] = {
    "ms": Fraction(1, 1000),
    "s": 1,
    "sec": 1,
    "m": 60,
    "min": 60,
    "h": 3600,
    "hr": 3600,
    "d": 86_400,
    "w": 604_800,
}
_WORDS = {"second": "s", "minute": "min", "hour": "h", "day": "d", "week": "w", "year": "y", "y": "y"}
_SECONDS = {"seconds": 1, "hours": 3600, "days": 86_400}


def quantity(text: str, unit: Unit | None) -> int | None:
    """The whole number of `unit` that a text such as `512m` means; None if it means no such number."""
    found = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)\s*", text)
    if not found:
        return None
    number, given = Fraction(found[1]), found[2].lower()
    factor: Fraction | int | None
    if not given:
        factor = 1
    elif unit in ("MiB", "GiB"):
        size = re.fullmatch(r"([bkmgt])(i?b|i)?", given)
        factor = Fraction(_MEMORY[size[1]]) / (1024 if unit == "GiB" else 1) if size else None
    elif unit is not None:
        singular = given.removesuffix("s") if len(given) > 2 else given
        name = _WORDS.get(singular, singular)
        seconds = 365 * 86_400 if name == "y" else _TIME.get(name)
        factor = None if seconds is None else Fraction(seconds) / _SECONDS[unit]
    else:
        factor = None
    if factor is None or (number * factor).denominator != 1:
        return None
    return int(number * factor)
