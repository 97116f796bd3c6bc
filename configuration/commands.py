"""Commands that the settings name, for a shell or as words."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from configuration.constraints import mistake

REMEDY = (
    "Write a line for /bin/sh, such as bin/migrate --all; or a list of words, which runs without a shell."
)


@dataclass(frozen=True)
class CommandLine:
    """A command."""

    words: tuple[str, ...]
    """The program and its arguments."""
    line: str = ""
    """The line for a shell, if that is what the settings have."""


def _command(value: object) -> CommandLine:
    if isinstance(value, str) and value.strip():
        return CommandLine(("/bin/sh", "-c", value), value)
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value) and value[0]:
        return CommandLine(tuple(value))
    raise mistake("not a command", REMEDY)


def _as_written(command: object) -> object:
    """As the settings have it."""
    if not isinstance(command, CommandLine):
        return command
    return command.line or list(command.words)


Command = Annotated[
    Any,
    PlainValidator(_command),
    PlainSerializer(_as_written),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"\S"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]
"""A command: a `CommandLine` once it is read."""
