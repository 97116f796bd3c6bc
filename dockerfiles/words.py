"""Variables in the words of a Dockerfile, as BuildKit expands them.

Source: "Environment replacement" in Docker's Dockerfile reference, and BuildKit's `frontend/dockerfile/shell`.
"""

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")


class InvalidWord(ValueError):
    """BuildKit would refuse a word. The text says why.

    A quote or a brace lacks its end, or `${NAME:?}` lacks a value.
    """


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """A word with its quotes removed and its variables replaced.

    Args:
        word: as it stands in the Dockerfile.
        variables: the known variables. Others are empty.
        escape: the Dockerfile's escape character.

    Raises:
        InvalidWord: BuildKit would refuse the word.
    """
    return _Reader(word, variables, escape).read("")


class _Reader:
    """Reads one word from left to right."""

    def __init__(self, word: str, variables: Mapping[str, str], escape: str) -> None:
        self._word = word
        self._variables = variables
        self._escape = escape
        self._at = 0

    def read(self, end: str) -> str:
        """Read up to the character `end`, which is passed over, or to the end of the word."""
        text = ""
        while self._at < len(self._word):
            character = self._next()
            if character == end:
                return text
            if character == "'":
                text += self._up_to_quote()
            elif character == '"':
                text += self._double_quoted()
            elif character == "$":
                text += self._variable()
            elif character == self._escape:
                text += self._next() if self._peek() else ""
            else:
                text += character
        if end:
            raise InvalidWord(f"a {end} is missing")
        return text

    def _next(self) -> str:
        character = self._word[self._at]
        self._at += 1
        return character

    def _peek(self) -> str:
        return self._word[self._at : self._at + 1]

    def _up_to_quote(self) -> str:
        """Single quotes: nothing is replaced in them."""
        start = self._at
        end = self._word.find("'", start)
        if end < 0:
            raise InvalidWord("a ' is missing")
        self._at = end + 1
        return self._word[start:end]

    def _double_quoted(self) -> str:
        text = ""
        while self._at < len(self._word):
            character = self._next()
            if character == '"':
                return text
            if character == "$":
                text += self._variable()
            elif character == self._escape and self._peek() in {'"', "$", self._escape}:
                text += self._next()
            else:
                text += character
        raise InvalidWord('a " is missing')

    def _variable(self) -> str:
        if self._peek() != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._at += 1
        name = self._name()
        operator = self._next() if self._peek() else ""
        if operator == "}":
            return self._variables.get(name, "")
        empty_counts = operator != ":"
        if operator == ":":
            operator = self._next() if self._peek() else ""
        value = self._variables.get(name)
        is_set = value is not None and (empty_counts or value != "")
        other = self.read("}")
        if operator == "-":
            return value or "" if is_set else other
        if operator == "+":
            return other if is_set else ""
        if operator == "?" and not is_set:
            raise InvalidWord(f"the variable {name} has no value")
        # `#`, `%` and `/` cut or replace parts of a value, which newer versions of BuildKit can do.
        return value or ""

    def _name(self) -> str:
        """The longest name from here; like a shell's, `$1` and `$$` have names, too."""
        rest = self._word[self._at :]
        found = _NAME.match(rest)
        self._at += found.end() if found else 0
        return found[0] if found else ""
