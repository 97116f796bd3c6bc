"""The instructions of a Dockerfile, read as BuildKit reads them.

Source: BuildKit's `frontend/dockerfile/parser`, whose quirks are kept, since the build has them, too.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from dockerfiles.words import SPACES, InvalidWord, TooDeep, split

LINE_LENGTH = (1 << 16) - 1
"""The longest line in bytes, by Go's `bufio.MaxScanTokenSize`."""

_NESTED = 100
"""How often ONBUILD may follow ONBUILD. BuildKit refuses two when it builds."""

_BLANKS = re.compile(r"[\t\v\f\r ]+")
_BYTE_SPACES = re.compile(r"[\t\n\v\f\r \x85\xa0]+")
_DIRECTIVE = re.compile(r"#[\t\n\f\r ]*([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=(.+)")
_DIRECTIVES = {"check", "escape", "syntax"}
_CONTINUED = {
    "\\": re.compile(r"(^|[^\\])\\[ \t]*\Z"),
    "`": re.compile(r"(^|[^`])`[ \t]*\Z"),
}
_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]*)")
_WITH_HEREDOC = {"add", "copy", "run"}
_WITH_LIST = {"add", "cmd", "copy", "entrypoint", "run", "shell", "volume"}
"""Instructions that take a JSON list of texts."""


class InvalidInstruction(ValueError):
    """BuildKit would refuse the Dockerfile. The text says why."""


@dataclass(frozen=True)
class Instruction:
    """One instruction."""

    name: str
    """As it is written."""
    flags: tuple[str, ...]
    """What begins with `--` directly behind the name, without quotes."""
    words: tuple[str, ...]
    """Those of ARG, FROM and VOLUME, ARG's with their quotes; none for other instructions."""
    line: int
    """The number of its first line, from 1."""


@dataclass(frozen=True)
class Instructions:
    """A Dockerfile."""

    all: tuple[Instruction, ...]
    escape: str
    """The escape character."""
    syntax: str = ""
    """The image of the frontend that reads the Dockerfile in BuildKit's place; empty for none."""


def parse(text: str) -> Instructions:
    """Read a Dockerfile.

    Raises:
        InvalidInstruction: BuildKit would refuse it.
    """
    reader = _Lines(text)
    found = tuple(reader.instructions())
    if not found:
        raise InvalidInstruction("it has no instructions")
    return Instructions(found, reader.escape, reader.syntax)


class _Lines:
    """Joins the lines that belong together, and leaves out comments and heredocs."""

    def __init__(self, text: str) -> None:
        lines = text.removeprefix("\ufeff").split("\n")
        if not lines[-1]:
            lines.pop()
        self._lines = lines
        self._next = 0
        self._directives: set[str] | None = set()
        """Those that were read; None behind them."""
        self.escape = "\\"
        self.syntax = ""
        for number, line in enumerate(lines, 1):
            if len(line.encode()) > LINE_LENGTH:
                raise InvalidInstruction(f"line {number}: it has more than {LINE_LENGTH} bytes")

    def instructions(self) -> Iterator[Instruction]:
        while self._next < len(self._lines):
            start = self._next + 1
            line = self._take().lstrip(SPACES)
            self._read_directive(line, start)
            line, ends = self._without_escape("" if line.startswith("#") else line)
            if ends and not line:
                continue
            parts = [line]
            while not ends and self._next < len(self._lines):
                line = self._take()
                if line.lstrip(SPACES)[:1] in {"", "#"}:
                    continue
                line, ends = self._without_escape(line)
                parts.append(line)
            try:
                yield self._instruction("".join(parts), start)
            except (InvalidInstruction, InvalidWord) as error:
                raise InvalidInstruction(f"line {start}: {error}") from None

    def _take(self) -> str:
        line = self._lines[self._next].rstrip("\r")
        self._next += 1
        return line

    def _read_directive(self, line: str, number: int) -> None:
        """Read a line such as `# escape=X`, which counts only ahead of all others."""
        if self._directives is None:
            return
        found = _DIRECTIVE.fullmatch(line)
        name = found[1].lower() if found else ""
        if not found or name not in _DIRECTIVES:
            self._directives = None
            return
        if name in self._directives:
            raise InvalidInstruction(f"line {number}: the directive {name} is given twice")
        self._directives.add(name)
        if name == "syntax":
            # What follows a blank are arguments of the frontend.
            self.syntax = found[2].strip("\t\n\f\r ").partition(" ")[0]
        elif name == "escape":
            escape = found[2].strip("\t\n\f\r ")
            if escape not in _CONTINUED:
                raise InvalidInstruction(f"line {number}: the escape character can only be \\ or `")
            self.escape = escape

    def _without_escape(self, line: str) -> tuple[str, bool]:
        """A line without the escape character that continues it, and whether the instruction ends here."""
        found = _CONTINUED[self.escape].search(line)
        return (line[: found.end(1)], False) if found else (line, True)

    def _instruction(self, line: str, start: int) -> Instruction:
        name, flags, rest = _parts(line)
        words: tuple[str, ...] = ()
        if name.lower() == "from" and rest:
            words = tuple(_BLANKS.split(rest))
        elif name.lower() == "arg":
            words = tuple(_words(rest, self.escape))
        elif name.lower() == "volume" and rest:
            words = tuple(json.loads(rest)) if _is_list(rest) else tuple(_BLANKS.split(rest))
        self._skip_heredocs(line, _takes_heredocs(name, rest, self.escape))
        return Instruction(name, flags, words, start)

    def _skip_heredocs(self, line: str, takes_heredocs: bool) -> None:
        if not takes_heredocs or "<<" not in line:
            return
        for end, tabs in _heredocs(line):
            while True:
                if self._next == len(self._lines):
                    raise InvalidInstruction(f"the heredoc has no end {end[:100]}")
                here = self._take()
                if (here.lstrip("\t") if tabs else here) == end:
                    break


def _parts(line: str) -> tuple[str, tuple[str, ...], str]:
    """The name of an instruction, its flags, and the rest."""
    name, *more = _BLANKS.split(line.strip(SPACES), maxsplit=1)
    if not more:
        return name, (), ""
    flags, rest = _flags(_as_bytes(more[0]))
    return name, flags, _as_text(rest).strip(SPACES)


def _as_bytes(text: str) -> str:
    """One character for each byte: BuildKit reads flags, and what follows HEALTHCHECK, byte by byte."""
    return text.encode().decode("latin-1")


def _as_text(characters: str) -> str:
    return characters.encode("latin-1").decode(errors="replace")


def _flags(line: str) -> tuple[tuple[str, ...], str]:
    """The flags at the start of a line, and the rest of it."""
    flags: list[str] = []
    at = 0
    while at < len(line):
        if line[at] in SPACES:
            at += 1
            continue
        if not line.startswith("--", at):
            return tuple(flags), line[at:]
        flag, at = _flag(line, at)
        if flag == "--":
            return tuple(flags), line[at:]
        flags.append(flag)
    return tuple(flags), ""


def _flag(line: str, at: int) -> tuple[str, int]:
    """The flag that begins at a place, without quotes and escapes, and the place behind it."""
    flag: list[str] = []
    quote = ""
    while at < len(line) and (quote or line[at] not in SPACES):
        character = line[at]
        if character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        elif character == "\\":
            # Not the escape character of the Dockerfile.
            at += 1
            flag.append(line[at : at + 1])
        else:
            flag.append(character)
        at += 1
    return "".join(flag), min(at, len(line))


def _words(text: str, escape: str) -> Iterator[str]:
    """Words between white space, with their quotes. Quotes keep white space together."""
    at = 0
    while at < len(text):
        if text[at] in SPACES:
            at += 1
            continue
        start, quote = at, ""
        skipped = False
        while at < len(text) and (quote or text[at] not in SPACES):
            character = text[at]
            if character == escape and quote != "'":
                # At the end of the text it is left out.
                skipped = at + 1 == len(text)
                at += 1
            elif character == quote:
                quote = ""
            elif not quote and character in "'\"":
                quote = character
            at += 1
        word = text[start : len(text) - 1] if skipped else text[start:at]
        if word:
            yield word


def _takes_heredocs(name: str, rest: str, escape: str) -> bool:
    """Whether an instruction, or the one behind ONBUILD, can have heredocs.

    Raises:
        InvalidInstruction: BuildKit would refuse what stands behind the name.
    """
    takes_heredocs = False
    for depth in range(_NESTED + 1):
        is_list = _check(name.lower(), rest, escape)
        if depth < 2:
            takes_heredocs = name.lower() in _WITH_HEREDOC and not is_list
        if name.lower() != "onbuild" or not rest:
            return takes_heredocs
        name, _, rest = _parts(rest)
    raise InvalidInstruction("ONBUILD cannot follow ONBUILD")


def _check(name: str, rest: str, escape: str) -> bool:
    """Whether what stands behind an instruction's name is a JSON list, where the instruction can have one.

    Raises:
        InvalidInstruction: it is a list of something else than texts, or ENV or LABEL has no value.
    """
    if name in _WITH_LIST:
        return _is_list(rest)
    if name == "healthcheck":
        # The list follows the kind, CMD or NONE.
        _, *test = _BYTE_SPACES.split(_as_bytes(rest), maxsplit=1)
        _is_list(_as_text("".join(test)))
    elif name in {"env", "label"}:
        words = list(_words(rest, escape))
        # The old form has one name and one value, without `=`.
        if words and ("=" in words[0] or not _BLANKS.search(rest)):
            for word in words:
                if "=" not in word:
                    raise InvalidInstruction(f"{name.upper()} needs NAME=VALUE")
    return False


def _is_list(text: str) -> bool:
    text = text.lstrip(SPACES)
    if not text.startswith("["):
        return False
    try:
        found = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_no_number)
    except RecursionError:
        raise InvalidInstruction("a list is nested too deep") from None
    except ValueError:
        return False  # BuildKit takes it for a command of the shell
    if not all(isinstance(part, str) for part in found):
        raise InvalidInstruction("a JSON list may hold texts only")
    return True


def _number(text: str) -> float:
    """A number, as far as Go's `float64` holds it."""
    number = float(text)
    if math.isinf(number):
        raise ValueError
    return number


def _no_number(text: str) -> float:
    """NaN and its kin, which JSON does not have."""
    raise ValueError(text)


def _heredocs(line: str) -> list[tuple[str, bool]]:
    """The ends of a line's heredocs, and whether tabs may stand ahead of them."""
    try:
        words = split(line, keep_quotes=True, keep_escapes=True)
    except InvalidWord as error:
        if isinstance(error, TooDeep):
            raise
        return []  # a quote without its end: BuildKit then sees no heredoc
    found = []
    for word in words:
        match = _HEREDOC.fullmatch(word)
        if not match or not match[2]:
            continue
        names = split(match[2], keep_quotes=False, keep_escapes=False)
        if len(names) == 1:
            found.append((names[0], match[1] == "-"))
    return found
