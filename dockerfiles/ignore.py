"""What a .dockerignore file leaves out of a build context, by the rules of Docker's own matcher.

Source: "dockerignore files" in Docker's build documentation, and the Go package github.com/moby/patternmatcher.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_Matched = tuple[bool, ...]
"""For each pattern, whether it matches."""


class InvalidPattern(ValueError):
    """Docker would refuse a pattern. The text names it."""


def patterns(text: str) -> list[str]:
    """The patterns of a .dockerignore file, each in its shortest form, an exception with `!` ahead of it.

    Raises:
        InvalidPattern: Docker would refuse one.
    """
    found = []
    for line in text.removeprefix("\ufeff").splitlines():
        # Only a `#` in the first column begins a comment.
        if line.startswith("#") or not (pattern := line.strip()):
            continue
        exception = "!" if pattern.startswith("!") else ""
        pattern = pattern.removeprefix("!").strip() if exception else pattern
        if pattern:
            # POSIX keeps two slashes at the start, Go does not.
            pattern = re.sub(r"^/+(?=.)", "", posixpath.normpath(pattern))
            # Docker shortens an exception once more, with its `!`: `!../../a` becomes `a`.
            pattern = posixpath.normpath(exception + pattern)
        if pattern in {"", "!"}:
            raise InvalidPattern(f"the exception {line.strip()[:100]!r} names no path inside the context")
        found.append(pattern)
    return found


@dataclass(frozen=True)
class _Pattern:
    """One line."""

    text: str
    """Without `!`."""
    is_exception: bool

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """The pattern as a regular expression of a whole path."""
        try:
            return re.compile(_expression(self.text), re.DOTALL)
        except re.error:
            raise InvalidPattern(f"the pattern {self.text[:100]!r} is not valid") from None

    @cached_property
    def fixed_folder(self) -> str:
        """The folders at its start that have no wildcard in them, with a slash at the end."""
        folders = []
        for part in self.text.split("/")[:-1]:
            if re.search(r"[*?\[\\]", part):
                break
            folders.append(part)
        return "".join(f"{folder}/" for folder in folders)

    @cached_property
    def is_fixed(self) -> bool:
        """Whether it has no wildcard at all."""
        return not re.search(r"[*?\[\\]", self.text)


def _expression(pattern: str) -> str:
    if re.fullmatch(r"\*\*[^/*?\[\]\\][^*?\[\]\\]*", pattern):
        return ".*" + re.escape(pattern[2:])  # an oddity of Docker's: `**x` is whatever ends in x
    text, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            if pattern.startswith("*", at):
                at += 1
                # `**/` is any number of folders, none among them; `**` at the end is all that is below.
                at += pattern.startswith("/", at)
                text += ".*" if at == len(pattern) else "(?:.*/)?"
            else:
                text += "[^/]*"
        elif character == "?":
            text += "[^/]"
        elif character == "\\":
            if at == len(pattern):
                raise InvalidPattern(f"the pattern {pattern[:100]!r} ends in a backslash")
            text += re.escape(pattern[at])
            at += 1
        elif character == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                raise InvalidPattern(f"the pattern {pattern[:100]!r} has a [ without its ]")
            inside = pattern[at:end]
            negated = "^" if inside.startswith("^") else ""
            text += f"[{negated}{_class(inside.removeprefix('^'))}]"
            at = end + 1
        else:
            text += re.escape(character)
    return text


def _class(inside: str) -> str:
    """The inside of a bracket expression for Python, which reads some characters otherwise than Go."""
    return re.sub(r"([\[\]&~|^])", r"\\\1", inside)


class Ignore:
    """The rules of one .dockerignore file: the last pattern that matches a path, or a folder above it, decides."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Take patterns as `patterns` gives them.

        Raises:
            InvalidPattern: Docker would refuse one.
        """
        self._patterns = [_Pattern(line.removeprefix("!"), line.startswith("!")) for line in lines]
        for pattern in self._patterns:
            _ = pattern.expression
        self._exceptions = [pattern for pattern in self._patterns if pattern.is_exception]
        self._nothing: _Matched = (False,) * len(self._patterns)

    @classmethod
    def of(cls, text: str) -> "Ignore":
        """The rules of a file's text."""
        return cls(patterns(text))

    def __call__(self, path: str) -> bool:
        """Whether the path, relative to the context and with `/`, is left out."""
        parts = path.split("/")
        ignored, matched = False, self._nothing
        for count in range(len(parts)):
            ignored, matched = self._look(matched, "/".join(parts[: count + 1]))
        return ignored

    def _look(self, above: _Matched, path: str) -> tuple[bool, _Matched]:
        """Whether a path is left out, and which patterns match it; `above` says that of the folder that it is in.

        A pattern that matches a folder matches all below it. Docker does not look at a pattern that would change
        nothing where it stands, so such a pattern does not count as a match for what is below, either.
        """
        ignored, matched = False, []
        for pattern, matches_above in zip(self._patterns, above, strict=True):
            matches = matches_above or (
                pattern.is_exception == ignored and pattern.expression.fullmatch(path) is not None
            )
            if matches:
                ignored = not pattern.is_exception
            matched.append(matches)
        return ignored, tuple(matched)

    def may_hold_exceptions(self, folder: str) -> bool:
        """Whether an exception may match something below an ignored folder, so that it has to be entered."""
        inside = f"{folder}/"
        for pattern in self._exceptions:
            if pattern.is_fixed:
                if f"{pattern.text}/".startswith(inside) or inside.startswith(f"{pattern.text}/"):
                    return True
            elif pattern.fixed_folder.startswith(inside) or inside.startswith(pattern.fixed_folder):
                return True
        return False

    def walk(self, context: Path) -> Iterator[str]:
        """What the rules leave in the context: paths relative to it, folders among them, each before its content.

        Names that follow each other in a folder are in the order of their characters. Links are not followed. A folder
        that is ignored is entered only if an exception may match something in it.
        """
        yield from self._walk(os.fspath(context), "", self._nothing)

    def _walk(self, context: str, folder: str, above: _Matched) -> Iterator[str]:
        with os.scandir(f"{context}/{folder}" if folder else context) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            ignored, matched = self._look(above, path)
            if not ignored:
                yield path
            if entry.is_dir(follow_symlinks=False) and (not ignored or self.may_hold_exceptions(path)):
                yield from self._walk(context, path, matched)
