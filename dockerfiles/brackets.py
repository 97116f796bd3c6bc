r"""Bracket expressions in a pattern of .dockerignore, such as `[a-c]`, and characters behind a backslash.

Docker checks a pattern with Go's `filepath.Match`, and then gives brackets and backslashes as they are to Go's
`regexp`, which reads some of them otherwise: `[[:alpha:]]` is a letter, `\d` a digit.
"""

import re

_NAMED = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\\x00-\\x7f",
    "blank": "\\t ",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
"""Go's named classes, as Python writes them."""

_LETTERS = {"d": "0-9", "s": "\\t\\n\\f\\r ", "w": "0-9A-Za-z_"}
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

NOT_VALID = "has a [ ] that is not valid"
NOT_VALID_ESCAPE = "has a backslash ahead of a letter, a digit or a character outside ASCII"
NOT_CLOSED = "has a [ without its ]"


class InvalidWildcard(ValueError):
    """Docker would refuse a pattern. The text is the predicate of a sentence."""


def check_brackets(pattern: str) -> None:
    """Refuse what `filepath.Match` refuses.

    Raises:
        InvalidWildcard: an expression lacks its end, is empty, or has a bare `-` or `]`; or a backslash is the last
            character.
    """
    at = 0
    while at < len(pattern):
        if pattern[at] == "[":
            at = _end(pattern, at + 1)
        elif pattern[at] == "\\":
            at += 2
            if at > len(pattern):
                raise InvalidWildcard("ends in a backslash")
        else:
            at += 1


def _end(pattern: str, at: int) -> int:
    """The place behind the expression whose content begins here."""
    at += pattern.startswith("^", at)
    first = True
    while first or not pattern.startswith("]", at):
        at = _skip(pattern, at)
        if pattern.startswith("-", at):
            at = _skip(pattern, at + 1)
        first = False
    return at + 1


def _skip(pattern: str, at: int) -> int:
    """The place behind one character, which may be escaped."""
    if pattern[at : at + 1] in {"-", "]"}:
        raise InvalidWildcard(NOT_VALID if "]" in pattern[at + 1 :] else NOT_CLOSED)
    at += 2 if pattern.startswith("\\", at) else 1
    if at >= len(pattern):
        raise InvalidWildcard(NOT_CLOSED)
    return at


def read_class(pattern: str, at: int) -> tuple[re.Pattern[str], int]:
    """What matches one character of an expression whose content begins here, and the place behind the expression.

    Raises:
        InvalidWildcard: Go's `regexp` refuses it, or reads `*` or `?` in it otherwise than anybody means.
    """
    negated = "^" if pattern.startswith("^", at) else ""
    at += len(negated)
    parts: list[str] = []
    while not pattern.startswith("]", at):
        part, end = _named(pattern, at)
        if not part:
            low, part, end = _character(pattern, at)
            # A `-` at the end is itself.
            if low and pattern.startswith("-", end) and pattern[end + 1 : end + 2] not in {"", "]"}:
                high, last, end = _character(pattern, end + 1)
                if not high or low > high:
                    raise InvalidWildcard(NOT_VALID)
                part = f"{part}-{last}"
        parts.append(part)
        at = end
        if at >= len(pattern):
            raise InvalidWildcard(NOT_CLOSED)
    return re.compile(f"[{negated}{''.join(parts)}]"), at + 1


def read_escaped(pattern: str, at: int) -> tuple[re.Pattern[str] | str, int]:
    """What matches a character behind a backslash outside of brackets, and the place behind it.

    Raises:
        InvalidWildcard: it is a letter or digit for which Go's `regexp` has no meaning, or one that is no character.
    """
    character, part, end = _character(pattern, at - 1)
    return character or re.compile(f"[{part}]"), end


def _named(pattern: str, at: int) -> tuple[str, int]:
    """A class such as `[:alpha:]`; empty if none begins here."""
    end = pattern.find(":]", at + 2)
    if not pattern.startswith("[:", at) or end < 0:
        return "", at
    found = _NAMED.get(pattern[at + 2 : end])
    if found is None:
        raise InvalidWildcard(NOT_VALID)
    return found, end + 2


def _character(pattern: str, at: int) -> tuple[str, str, int]:
    """A character, how Python writes it in an expression, and the place behind it.

    The first is empty for an escaped letter that stands for several characters.
    """
    character = pattern[at : at + 1]
    if character in {"*", "?"}:
        raise InvalidWildcard(
            "has a * or ? in a [ ], which Docker does not take for itself: write * or ? without [ ]"
        )
    if character != "\\":
        return character, re.escape(character), at + 1
    escaped = pattern[at + 1 : at + 2]
    if escaped in _LETTERS:
        return "", _LETTERS[escaped], at + 2
    if escaped.isalnum() or not escaped.isascii():
        if escaped not in _CONTROLS:
            raise InvalidWildcard(NOT_VALID_ESCAPE)
        escaped = _CONTROLS[escaped]
    return escaped, re.escape(escaped), at + 2
