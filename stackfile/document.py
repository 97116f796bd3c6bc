"""The parsed file: its values, and the line of each key."""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stackfile import scalars
from well_known import NAMESPACE

LIMIT = 1 << 20
"""Bytes. A configuration has a few KiB; the certificates in it, some hundred."""
NODES = 50_000
"""Values after anchors are expanded. A few lines of nested anchors can stand for billions."""
DEPTH = 50
"""Levels. The deepest setting has 7."""

Location = tuple[str | int, ...]
"""Keys and list indices from the top of the file."""


@dataclass(frozen=True)
class Mistake:
    """One mistake in the file. The text never has a value of `passwords` or `secrets`."""

    line: int
    """Counted from 1; 0 if it concerns the whole file."""
    text: str
    """The key, what is wrong, and what to write instead."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


class UnreadableFile(ValueError):
    """The file is not YAML that Pulumi could read; `mistakes` says why."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(map(str, mistakes)))


@dataclass(frozen=True)
class Document:
    """A parsed file."""

    content: dict[str, Any] = field(default_factory=dict)
    """The values, as Pulumi reads them."""
    lines: dict[Location, int] = field(default_factory=dict)
    """The line of each key and list entry, counted from 1."""
    mistakes: list[Mistake] = field(default_factory=list)
    """Duplicate keys, keys that are not texts, and values that become others."""

    @classmethod
    def read(cls, path: Path) -> "Document":
        """Parse a file. A missing file is an empty document.

        Raises:
            UnreadableFile: it cannot be read, or is not a map in YAML.
        """
        try:
            data = _read(path)
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise UnreadableFile(
                [Mistake(0, f"the file cannot be read: {error.strerror}. Replace it.")]
            ) from None
        return cls.parse(data)

    @classmethod
    def parse(cls, data: bytes) -> "Document":
        """Parse the file's bytes.

        Raises:
            UnreadableFile: they are not a map in YAML.
        """
        if len(data) > LIMIT:
            raise UnreadableFile([Mistake(0, f"the file is larger than {LIMIT >> 20} MiB. Replace it.")])
        try:
            root = yaml.compose(data, Loader=_Composer)
        except yaml.reader.ReaderError as error:
            raise UnreadableFile([_unreadable(data, error)]) from None
        except yaml.MarkedYAMLError as error:
            raise UnreadableFile([_malformed(data, error)]) from None
        except RecursionError:
            raise UnreadableFile([Mistake(0, f"the file has more than {DEPTH} levels.")]) from None
        if root is None or (isinstance(root, yaml.ScalarNode) and scalars.read(root.value) is None):
            return cls()
        if not isinstance(root, yaml.MappingNode):
            raise UnreadableFile(
                [Mistake(_line(root), "the file is not a map. Write `config:` and the settings below it.")]
            )
        builder = _Builder()
        content = builder.value(root, ())
        return cls(content, builder.lines, builder.mistakes)


def _read(path: Path) -> bytes:
    """The start of a regular file. Opening a FIFO would wait, and a device may never end."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is not a regular file")
        return file.read(LIMIT + 1)


class _Resolver(yaml.resolver.BaseResolver):
    """Without rules of its own: `scalars` has those of Pulumi's library."""


if yaml.__with_libyaml__:

    class _Composer(yaml.cyaml.CParser, _Resolver):  # type: ignore[misc, name-defined]
        def __init__(self, stream: Any) -> None:
            yaml.cyaml.CParser.__init__(self, stream)  # type: ignore[attr-defined]
            _Resolver.__init__(self)

else:

    class _Composer(  # type: ignore[no-redef]
        yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer, _Resolver
    ):
        def __init__(self, stream: Any) -> None:
            yaml.reader.Reader.__init__(self, stream)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)
            yaml.composer.Composer.__init__(self)
            _Resolver.__init__(self)


class _Builder:
    """Values from nodes."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self.mistakes: list[Mistake] = []
        self._open: set[int] = set()
        self._count = 0

    def value(self, node: yaml.Node, at: Location) -> Any:
        self._count += 1
        if self._count > NODES:
            raise UnreadableFile(
                [
                    Mistake(
                        _line(node), f"the anchors in it stand for more than {NODES} values. Write them out."
                    )
                ]
            )
        if len(at) > DEPTH:
            raise UnreadableFile([Mistake(_line(node), f"more than {DEPTH} levels. Write fewer.")])
        if id(node) in self._open:
            raise UnreadableFile([Mistake(_line(node), "an anchor contains itself. Leave it out.")])
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._map(node, at)
            if isinstance(node, yaml.SequenceNode):
                return [self._entry(entry, (*at, index)) for index, entry in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, at)
            return None
        finally:
            self._open.discard(id(node))

    def _entry(self, node: yaml.Node, at: Location) -> Any:
        self.lines[at] = _line(node)
        return self.value(node, at)

    def _map(self, node: yaml.MappingNode, at: Location) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        written: dict[str, int] = {}
        for key_node, value_node in node.value:
            if _is_plain(key_node) and key_node.value == "<<":
                merged = self._merge(value_node, at) | merged
                continue
            key = self._key(key_node, at)
            here = (*at, key)
            line = _line(key_node)
            if key in written:
                self.mistakes.append(
                    Mistake(
                        line, f"{show(here)} is set twice, first in line {written[key]}. Remove one of them."
                    )
                )
            written[key] = line
            self.lines[here] = line
            found[key] = self.value(value_node, here)
        return merged | found

    def _merge(self, node: yaml.Node, at: Location) -> dict[str, Any]:
        """The values behind `<<`: of several maps, the first one's win."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in sources:
            if isinstance(source, yaml.MappingNode):
                merged = self.value(source, at) | merged
            else:
                self.mistakes.append(
                    Mistake(_line(node), f"{show((*at, '<<'))} is not a map. Write `<<: *anchor`.")
                )
        return merged

    def _key(self, node: yaml.Node, at: Location) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self.mistakes.append(
                Mistake(_line(node), f"a key below {show(at)} is a list or a map. Write a text as the key.")
            )
            return "…"
        text = str(node.value)
        if _is_plain(node) and (not isinstance(scalars.read(text), str) or scalars.misread(text)):
            self.mistakes.append(
                Mistake(
                    _line(node), f'the key {show((*at, text))} is not a text. Put it in quotes: "{text}".'
                )
            )
        return text

    def _scalar(self, node: yaml.ScalarNode, at: Location) -> Any:
        text = str(node.value)
        if node.tag not in ("tag:yaml.org,2002:str", "!"):
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self.mistakes.append(
                Mistake(_line(node), f"{show(at)} has the tag {tag}. Leave it out, and put a text in quotes.")
            )
            return text
        if not _is_plain(node):
            return text
        if _is_own(at) and (becomes := scalars.misread(text)):
            shown = "" if is_secret(at) else f" = {text}"
            quoted = "" if is_secret(at) else f': "{text}"'
            self.mistakes.append(
                Mistake(
                    _line(node),
                    f"{show(at)}{shown}: without quotes YAML reads it as {becomes}. {_advice(becomes)}put it in "
                    f"quotes{quoted}.",
                )
            )
        return scalars.read(text)


def _advice(becomes: str) -> str:
    return (
        f"Write {becomes} if you mean the number, or else "
        if re.fullmatch(r"-?[0-9.]+", becomes)
        else "If it is a text, "
    )


def is_secret(at: Location) -> bool:
    """Whether messages must not show the value there."""
    return at[:1] != ("config",) or any(
        isinstance(step, str) and re.search(r"password|secret|secure|token", step, re.IGNORECASE)
        for step in at
    )


def show(at: Location) -> str:
    """A location for a message: `slipway:hosts.web-1.roles[0]`; `config` is left out."""
    steps = at[1:] if len(at) > 1 and at[0] == "config" else at
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            # `alice:password` may stand in the place of a name.
            name, colon, _ = step.partition(":") if text else (step, "", "")
            text += f"{'.' if text else ''}{name or repr(name)}{':…' if colon else ''}"
    return text or "the file"


def _is_own(at: Location) -> bool:
    """Whether a value is Slipway's. Other programs may want dates."""
    return at[:1] == ("config",) and len(at) > 1 and str(at[1]).startswith(f"{NAMESPACE}:")


def _is_plain(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _unreadable(data: bytes, error: yaml.reader.ReaderError) -> Mistake:
    line = data.count(b"\n", 0, error.position) + 1
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        return Mistake(line, "a byte that is not UTF-8. Save the file as text in UTF-8.")
    character = error.character if isinstance(error.character, int) else ord(str(error.character)[:1] or "\0")
    return Mistake(line, f"the control character U+{character:04X}. Remove it.")


def _malformed(data: bytes, error: yaml.MarkedYAMLError) -> Mistake:
    """What the YAML library found, in words that say what to do. Its own words may quote a secret."""
    problem, context = error.problem or "", error.context or ""
    mark, start = error.problem_mark, error.context_mark
    lines = data.decode(errors="replace").splitlines()
    line = mark.line if mark else 0
    if "quoted scalar" in context and ("escape" in problem or "hexdec" in problem):
        return _at(
            lines,
            line,
            "a backslash in double quotes that begins no escape of YAML. Put the text in single quotes, or write \\\\.",
        )
    if "quoted scalar" in context and start:
        return _at(
            lines, start.line, "a text that begins with a quotation mark and does not end. Close the quotes."
        )
    if "undefined alias" in problem:
        return _at(
            lines,
            line,
            "an alias (*) whose anchor (&) does not exist. Write the value, or put the text in quotes.",
        )
    if "expected a single document" in context or "single document" in problem:
        return _at(lines, line, "a second document begins. Remove the line `---` and merge what follows.")
    tab = next(
        (
            number
            for number in range(min(line + 1, len(lines)) - 1, max(line - 2, -1), -1)
            if "\t" in lines[number][: len(lines[number]) - len(lines[number].lstrip())]
        ),
        None,
    )
    if tab is not None or "\\t" in problem or "tab" in problem:
        return _at(lines, line if tab is None else tab, "a tab in the indentation. Indent with spaces.")
    if mark and line < len(lines) and re.search(r"[:\-,\[{]\s*([\"']).*\1\s*\Z", lines[line][: mark.column]):
        return _at(
            lines,
            line,
            "characters behind a closing quotation mark. Put the whole text in quotes, and write '' for a ' in single "
            'quotes, \\" for a " in double ones.',
        )
    if "block sequence entries" in problem:
        return _at(
            lines, line, "a list that begins in the line of its key. Write each entry in a line of its own."
        )
    if "cannot start any token" in problem:
        return _at(lines, line, "a value that begins with a character of YAML's own. Put it in quotes.")
    if "flow" in context and start:
        return _at(
            lines,
            start.line,
            "a list or map in brackets that does not end, or lacks a comma. Close the bracket.",
        )
    if "alphabetic or numeric character" in problem:
        return _at(lines, line, "a value that begins with * or &, which are YAML's own. Put it in quotes.")
    if "mapping values are not allowed" in problem:
        above = next((number for number in range(line - 1, -1, -1) if lines[number].strip()), 0)
        if re.fullmatch(r"\s*[\w.:-]*[\w.-]\s*", lines[above]):
            return _at(lines, above, f"{lines[above].strip()} has no colon at its end. Write it.")
        return _at(
            lines,
            line,
            "a second `: ` in one line, or deeper indentation without a key. Put a text in quotes, or indent as "
            "the lines around it.",
        )
    if "could not find expected ':'" in problem:
        return _at(lines, start.line if start else line, "a key without a colon. Write `key: value`.")
    if (
        "expected key" in problem
        or "block end" in problem
        or "block mapping" in context
        or "expected '-' indicator" in problem
    ):
        return _at(
            lines, line, "indentation that fits no line above it. Indent keys of one map equally.", depth=1
        )
    return _at(
        lines, line, f"not YAML: {problem.partition(chr(34))[0].strip() or context}. Correct the line."
    )


def _at(lines: list[str], line: int, text: str, depth: int = DEPTH) -> Mistake:
    """A mistake at a line (from 0), with its key and, up to `depth`, those above it by their indentation."""
    line = min(line, max(len(lines) - 1, 0))
    keys: list[str] = []
    outer = 1 << 30
    for number in range(line, -1, -1):
        found = re.match(r"([ \t]*)(?:- )?([A-Za-z0-9_.:@+-]+):(?:\s|$)", lines[number]) if lines else None
        if found and len(found[1].expandtabs()) < outer:
            outer = len(found[1].expandtabs())
            keys.insert(0, found[2])
            if outer == 0 or len(keys) == depth:
                break
    where = f"{show(tuple(keys))}: " if keys else ""
    return Mistake(line + 1, f"{where}{text}")
