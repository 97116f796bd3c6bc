"""Changes values in a stack's file, and keeps its comments, order and layout (ruamel.yaml's round trip)."""

import copy
import io
from collections.abc import Mapping, MutableMapping
from enum import Enum
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from stackfile.document import Document, Location, UnreadableFile, show

LAYOUTS = ((2, 4, 2), (2, 2, 0), (4, 4, 2), (4, 4, 0), (4, 6, 4))
"""Indentations that people use: of a map, of a list, and of a list's hyphen."""
UNBROKEN = 1 << 20
"""Columns: no line of a person's is broken."""


class _Removed(Enum):
    REMOVED = "the key is to be removed"


REMOVED = _Removed.REMOVED
"""In place of a value: the key goes."""

Change = object | _Removed


class CannotEdit(ValueError):
    """The file cannot be changed in this way without touching something else; the text says why."""


def changed(text: str, changes: Mapping[Location, Change]) -> str:
    """The file's text with other values at some locations. Maps on the way to a location are made where they lack.

    Args:
        text: the file's text.
        changes: by location (keys only), the new value, or REMOVED.

    Raises:
        CannotEdit: something on the way to a location is no map, such as JSON in a string; or an anchor shares the
            value with another key.
        UnreadableFile: the file is not YAML.
    """
    expected = copy.deepcopy(Document.parse(text.encode()).content)
    for at, value in changes.items():
        _put(expected, at, value)
    editor = _editor(text)
    try:
        root = editor.load(text)
        root = editor.map() if root is None else root
        for at, value in changes.items():
            _put(root, at, value if value is REMOVED else _quoted(value))
        written = io.StringIO()
        editor.dump(root, written)
        result = written.getvalue()
        found = Document.parse(result.encode()).content
    except (YAMLError, UnreadableFile) as error:
        raise CannotEdit(str(error)) from None
    if found != expected:
        # An alias: the value belongs to another key, too.
        where = ", ".join(show(at) for at in changes)
        raise CannotEdit(f"{where} shares its value with another key, by an anchor")
    return result


def _editor(text: str) -> YAML:
    """An editor with the indentation of the file: the first of `LAYOUTS` that writes the file as it is."""
    for layout in LAYOUTS:
        editor = _with_layout(*layout)
        written = io.StringIO()
        editor.dump(editor.load(text), written)
        if written.getvalue() == text:
            return _with_layout(*layout)
    return _with_layout(*LAYOUTS[0])


def _with_layout(mapping: int, sequence: int, offset: int) -> YAML:
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = UNBROKEN
    editor.indent(mapping=mapping, sequence=sequence, offset=offset)
    return editor


def _put(root: Any, at: Location, value: Change) -> None:
    here = root
    for depth, step in enumerate(at[:-1], start=1):
        if isinstance(here, MutableMapping) and here.get(step) is None:
            if value is REMOVED:
                return
            here[step] = {}
        here = here[step]
        if not isinstance(here, MutableMapping):
            raise CannotEdit(f"{show(at[:depth])} is no map in YAML. Write it as one, key by key.")
    if value is REMOVED:
        here.pop(at[-1], None)
    else:
        here[at[-1]] = value


def _quoted(value: Any) -> Any:
    """The value, with quotes around a text that some reader of YAML would take for something else, such as `yes`."""
    if isinstance(value, str):
        try:
            is_plain = yaml.safe_load(value) == value
        except yaml.YAMLError:
            is_plain = True  # the editor quotes it by itself
        return value if is_plain else DoubleQuotedScalarString(value)
    if isinstance(value, dict):
        return {key: _quoted(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_quoted(entry) for entry in value]
    return value
