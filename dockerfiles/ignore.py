"""What a .dockerignore file leaves out of a build context, by the rules of Docker's own matcher.

Source: "dockerignore files" in Docker's build documentation, and the Go package github.com/moby/patternmatcher.
"""

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dockerfiles.brackets import InvalidWildcard
from dockerfiles.wildcards import Wildcards
from dockerfiles.words import SPACES

_Matched = tuple[bool, ...]
"""For each pattern, whether it matches."""


class InvalidPattern(ValueError):
    """Docker would refuse a pattern. The text names it."""


class UnreadableFolder(Exception):
    """A folder of the context that the rules do not leave out cannot be read. The text names it."""


def patterns(text: str) -> list[str]:
    """The patterns of a .dockerignore file, each in its shortest form, an exception with `!` ahead of it.

    Raises:
        InvalidPattern: Docker would refuse one.
    """
    found = []
    # Lines and blanks are Go's: Python ends lines at more characters, such as U+2028.
    for line in text.removeprefix("\ufeff").split("\n"):
        # Only a `#` in the first column begins a comment.
        if line.startswith("#") or not (pattern := line.strip(SPACES)):
            continue
        exception = "!" if pattern.startswith("!") else ""
        pattern = pattern.removeprefix("!").strip(SPACES) if exception else pattern
        if pattern:
            # POSIX keeps two slashes at the start, Go does not.
            pattern = re.sub(r"^/+(?=.)", "", posixpath.normpath(pattern))
        # Docker trims and shortens once more, with the `!`: `a /` becomes `a`, and `!../../a`, too.
        pattern = (exception + pattern).strip(SPACES)
        if not pattern:
            continue
        pattern = posixpath.normpath(pattern)
        if pattern == "!":
            raise InvalidPattern(
                f"the exception {line.strip(SPACES)[:100]!r} names no path inside the context"
            )
        found.append(pattern)
    return found


@dataclass(frozen=True)
class _Pattern:
    """One line."""

    text: str
    """Without `!`."""
    is_exception: bool

    @cached_property
    def wildcards(self) -> Wildcards | None:
        """What matches a whole path; None if the pattern has no wildcard.

        Raises:
            InvalidPattern: Docker would refuse the pattern.
        """
        if self.is_fixed:
            return None
        try:
            return Wildcards(self.text)
        except InvalidWildcard as error:
            raise InvalidPattern(f"the pattern {self.text[:100]!r} {error}") from None

    def matches(self, path: str) -> bool:
        """Whether it matches a path, without a look at the folders above it."""
        return path == self.text if self.wildcards is None else self.wildcards.match(path)

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
        return not re.search(r"[*?\[\]\\]", self.text)


class Ignore:
    """The rules of one .dockerignore file: the last pattern that matches a path, or a folder above it, decides."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Take patterns as `patterns` gives them.

        Raises:
            InvalidPattern: Docker would refuse one.
        """
        self._patterns = [_Pattern(line.removeprefix("!"), line.startswith("!")) for line in lines]
        for pattern in self._patterns:
            _ = pattern.wildcards
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
            matches = matches_above or (pattern.is_exception == ignored and pattern.matches(path))
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

    def walk(self, context: Path, never: Callable[[str, bool], bool] | None = None) -> Iterator[str]:
        """What the rules leave in the context: paths relative to it, folders among them, each before its content.

        `never` gets each path, and whether the rules leave it out. If it returns true, neither the path nor what is
        below it counts, whatever the rules say.

        Names that follow each other in a folder are in the order of their characters. Links are not followed. A folder
        that is ignored is entered only if an exception may match something in it and the user may read it.

        Raises:
            UnreadableFolder: a folder that is not ignored cannot be read.
        """
        # A stack, since folders may be nested deeper than Python's functions.
        top = os.fspath(context)
        open_folders = [self._entries(top, "", (False, self._nothing))]
        while open_folders:
            entry = next(open_folders[-1], None)
            if entry is None:
                open_folders.pop()
                continue
            path, is_folder, (ignored, matched) = entry
            if never is not None and never(path, ignored):
                continue
            if not ignored:
                yield path
            if is_folder and (not ignored or self.may_hold_exceptions(path)):
                open_folders.append(self._entries(top, path, (ignored, matched)))

    def _entries(
        self, context: str, folder: str, answer: tuple[bool, _Matched]
    ) -> Iterator[tuple[str, bool, tuple[bool, _Matched]]]:
        """What a folder holds: the path, whether it is a folder, and what `_look` says of it.

        `answer` is what `_look` says of the folder.
        """
        ignored, above = answer
        try:
            with os.scandir(f"{context}/{folder}" if folder else context) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if ignored and isinstance(error, PermissionError):
                return
            raise UnreadableFolder(
                f"the folder {folder[-100:] or '.'!r} cannot be read: {error.strerror}"
            ) from None
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            yield path, entry.is_dir(follow_symlinks=False), self._look(above, path)
