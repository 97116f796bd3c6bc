"""Scripts for hosts: shell files, with their values ahead of them, handed over on standard input.

Nothing of it shows in a process list, and a command that fails prints only its own short text.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_command as command

from components.host import Host

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


def on_host(
    name: str, host: Host, script: str, values: Mapping[str, pulumi.Input[str]], opts: pulumi.ResourceOptions
) -> command.remote.Command:
    """Runs a script on a host as root, and again whenever the script or one of its values changes.

    What it prints is not shown, and is secret in the state: it may repeat what the script was given.
    """
    private = pulumi.ResourceOptions(additional_secret_outputs=["stdout", "stderr"])
    return command.remote.Command(
        name,
        connection=host.ssh,
        create=host.as_root("bash -s"),
        stdin=with_values(script, values),
        logging=command.remote.Logging.NONE,
        add_previous_output_in_env=False,
        opts=host.lives_here(pulumi.ResourceOptions.merge(private, opts)),
    )
