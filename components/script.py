"""Scripts for hosts: shell files, with their values ahead of them, handed over on standard input.

Nothing of it shows in a process list, and a command that fails prints only its own short text.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path

import pulumi

SCRIPTS = Path(__file__).parent / "scripts"


def assignments(values: Mapping[str, str]) -> str:
    """The values as shell assignments, quoted, a line each.

    Trailing newlines are kept: what goes into a file stays as it is.
    """
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def text(name: str) -> str:
    """The text of a script, by its file name."""
    return (SCRIPTS / name).read_text()


def with_values(name: str, values: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
    """What to give to `bash -s`: the values, then the script. Always secret."""
    script = text(name)
    return pulumi.Output.secret(pulumi.Output.all(**values).apply(lambda known: assignments(known) + script))
