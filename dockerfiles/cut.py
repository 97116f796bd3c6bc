"""Cutting and replacing in the values of variables, as BuildKit does it: `${A#x}`, `${A%x}`, `${A/x/y}`.

Source: BuildKit's `frontend/dockerfile/shell`. A pattern has `*` and `?`, and no brackets. All places in the pattern
are followed at once, since regular expressions in Python take exponential time for some patterns.
"""

from enum import Enum, auto

LENGTH = 1000
"""The longest value in characters. BuildKit has no limit; the names of images have 255 at most."""


class InvalidCut(ValueError):
    """BuildKit would refuse a pattern, or a value is too long. The text says why."""


class _Part(Enum):
    ANY = auto()
    """`?`: one character that is no line end."""
    STAR = auto()
    """`*`: any number of them."""


_Parts = list[str | _Part]


def without_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """A value without what matches the pattern at its start, the shortest or the longest match.

    Raises:
        InvalidCut: see there.
    """
    end = _end(_parts(pattern), _checked(value), 0, longest=longest)
    return value if end is None else value[end:]


def without_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """The same at its end.

    Raises:
        InvalidCut: see there.
    """
    end = _end(_parts(pattern)[::-1], _checked(value)[::-1], 0, longest=longest)
    return value if end is None else value[: len(value) - end]


def replaced(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    """A value in which the first match of the pattern, or each, is replaced. A match is as long as possible.

    Raises:
        InvalidCut: see there.
    """
    parts = _parts(pattern)
    text: list[str] = []
    at, before = 0, -1
    while at <= len(_checked(value)):
        end = _end(parts, value, at, longest=True)
        if end is not None and (end > at or at != before):
            text.append(replacement)
            if not everywhere:
                return "".join([*text, value[end:]])
            before = end
        if end is None or end == at:
            text.append(value[at : at + 1])
            end = at + 1
        at = end
    return "".join(text)


def _checked(value: str) -> str:
    if len(value) > LENGTH:
        raise InvalidCut(f"a value of more than {LENGTH} characters cannot be cut")
    return value


def _parts(pattern: str) -> _Parts:
    parts: _Parts = []
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            parts.append(_Part.STAR)
        elif character == "?":
            parts.append(_Part.ANY)
        elif character != "\\":
            parts.append(character)
        else:
            escaped = next(characters, "")
            if escaped not in {"*", "?", "\\", "}", "/"} or not escaped:
                raise InvalidCut(
                    f"the pattern {pattern[:100]!r} has a backslash ahead of {escaped or 'its end'}"
                )
            parts.append(escaped)
    return parts


def _end(parts: _Parts, value: str, start: int, *, longest: bool) -> int | None:
    """Where a match that begins at `start` ends; None without a match."""
    places = _with_stars(parts, {0})
    end = start if len(parts) in places else None
    for at in range(start, len(value)):
        if end is not None and not longest:
            return end
        reached: set[int] = set()
        for place in places - {len(parts)}:
            part = parts[place]
            if part is _Part.STAR:
                if value[at] != "\n":
                    reached.add(place)
            elif part == value[at] or (part is _Part.ANY and value[at] != "\n"):
                reached.add(place + 1)
        places = _with_stars(parts, reached)
        if not places:
            break
        if len(parts) in places:
            end = at + 1
    return end


def _with_stars(parts: _Parts, places: set[int]) -> set[int]:
    """The places, and those behind stars that match nothing."""
    found = set(places)
    for place in sorted(places):
        while place < len(parts) and parts[place] is _Part.STAR:
            place += 1  # noqa: PLW2901
            found.add(place)
    return found
