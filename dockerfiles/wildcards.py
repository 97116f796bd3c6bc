"""Whether a path matches a pattern of .dockerignore.

A stranger may have written the pattern, and Python's regular expressions take exponential time for some. So all places
in the pattern that a path may have reached are followed at once: the time grows with the length of the path times that
of the pattern.

Source: the Go package github.com/moby/patternmatcher, which makes Go's regular expressions of patterns.
"""

import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto

from dockerfiles.brackets import InvalidWildcard, check_brackets, read_class, read_escaped

_STATES = 500
"""How many states are remembered for one pattern, so that many paths do not fill the memory."""


class _Part(Enum):
    """A part of a pattern that is no character."""

    ONE = auto()
    """`?`: one character of a name."""
    NAME = auto()
    """`*`: any number of characters of a name."""
    FOLDERS = auto()
    """`**/`: nothing, or what INSIDE matches, which follows it."""
    INSIDE = auto()
    """Any number of characters, and a slash."""
    REST = auto()
    """`**` at the end: any number of characters."""


_Parts = list[str | _Part | re.Pattern[str]]


class _State:
    """The places in a pattern that a path may have reached."""

    def __init__(self, places: frozenset[int], is_match: bool) -> None:
        self.places = places
        self.is_match = is_match
        """Whether the path may end here."""
        self.following: dict[str, _State] = {}
        """The state behind a character, as far as known."""


class Wildcards:
    """A pattern."""

    def __init__(self, pattern: str) -> None:
        """Read a pattern in its shortest form, without `!`.

        Raises:
            InvalidWildcard: Docker would refuse it.
        """
        check_brackets(pattern)
        # Docker compares these as text. Else `**` stands for a `.*` of Go's, which a line end does not match.
        as_text = re.fullmatch(r"\*\*[^*?\[\]\\]*|[^*?\[\]\\]+\*\*", pattern) is not None
        self._across_lines = as_text
        if not as_text:
            _check_operators(pattern)
        self._parts: _Parts = list(_parts(pattern, is_suffix=as_text and pattern[:2] == "**"))
        self._states: dict[frozenset[int], _State] = {}
        self._first = self._state([0])

    def match(self, path: str) -> bool:
        """Whether a whole path matches."""
        state = self._first
        for character in path:
            if not state.places:
                return False
            following = state.following.get(character)
            if following is None:
                following = state.following[character] = self._state(self._reached(state, character))
            state = following
        return state.is_match

    def _reached(self, state: _State, character: str) -> Iterator[int]:
        """The places that are reached with one more character."""
        in_name = character != "/"
        in_folders = self._across_lines or character != "\n"
        for place in state.places:
            if place == len(self._parts):
                continue
            part = self._parts[place]
            if part is _Part.NAME:
                if in_name:
                    yield place
            elif part is _Part.REST or part is _Part.INSIDE:
                if in_folders:
                    yield place
                if part is _Part.INSIDE and not in_name:
                    yield place + 1
            elif (
                part == character
                or (part is _Part.ONE and in_name)
                or (isinstance(part, re.Pattern) and part.match(character))
            ):
                yield place + 1

    def _state(self, places: Iterable[int]) -> _State:
        """The state of some places, and of those that are reached from them without a character."""
        found: set[int] = set()
        waiting = list(places)
        while waiting:
            place = waiting.pop()
            if place in found:
                continue
            found.add(place)
            part = self._parts[place] if place < len(self._parts) else ""
            if part is _Part.NAME or part is _Part.REST:
                waiting.append(place + 1)
            elif part is _Part.FOLDERS:
                waiting += [place + 1, place + 2]
        key = frozenset(found)
        state = self._states.get(key)
        if state is None:
            if len(self._states) == _STATES:
                self._forget()
            state = self._states[key] = _State(key, len(self._parts) in key)
        return state

    def _forget(self) -> None:
        for state in self._states.values():
            state.following.clear()  # they refer to each other
        self._states = {self._first.places: self._first}


def _check_operators(pattern: str) -> None:
    """Refuse what Docker gives to Go's `regexp` as an operator: `a|*.b` is whatever begins with `a`."""
    for found in re.finditer(r"\\.|\[(?:\\.|[^\]\\])*\]|([|^]|\{[0-9]+(?:,[0-9]*)?\})", pattern, re.DOTALL):
        if operator := found[1]:
            raise InvalidWildcard(
                f"has {operator} beside a wildcard, which Docker does not take for itself: write a ? for "
                f"{'each of these characters' if operator[1:] else 'this character'}"
            )


def _parts(pattern: str, *, is_suffix: bool) -> Iterator[str | _Part | re.Pattern[str]]:
    """The parts of a pattern. `is_suffix` says that it has no wildcard but `**` at its start."""
    at = 0
    if is_suffix and pattern[2:3] != "/":
        yield _Part.REST  # an oddity of Docker's: `**x` is whatever ends in x
        at = 2
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if pattern.startswith("**", at - 1):
            # `**/` is any number of folders, none among them; `**` at the end is all that is below.
            at += 2 if pattern.startswith("/", at + 1) else 1
            yield from (_Part.REST,) if at == len(pattern) else (_Part.FOLDERS, _Part.INSIDE)
        elif character == "*":
            yield _Part.NAME
        elif character == "?":
            yield _Part.ONE
        elif character == "\\":
            found, at = read_escaped(pattern, at)
            yield found
        elif character == "[":
            found, at = read_class(pattern, at)
            yield found
        else:
            yield character
