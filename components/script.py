"""Scripts for hosts: shell files, run by `bash -s` with their values ahead of them, all on standard input.

So no value is in a process list, and a command that fails prints only the script's own messages.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pulumi
import pulumi_command as command

from components.host import Host

SCRIPTS = Path(__file__).parent / "scripts"
LIBRARY = "lib.sh"
"""Functions that are put ahead of every script."""
PARTS = {
    "backup.sh": ("frontend.sh", "limits.sh", "routes.sh", "services.sh", "once.sh"),
    "backup-store.sh": ("ssh-server.sh",),
    "engine.sh": ("ssh-server.sh", "private-ports.sh", "proxy-metrics.sh"),
    "mount-data.sh": ("registry-data.sh",),
    "registry.sh": ("registry-front.sh", "registry-data.sh"),
    "switch.sh": (
        *(
            "frontend.sh",
            "backends.sh",
            "limits.sh",
            "routes.sh",
            "services.sh",
            "watch.sh",
            "hangs.sh",
            "once.sh",
            "jobs.sh",
        ),
        "unhealthy.sh",
    ),
}
"""Functions that are put ahead of one script, after the library's."""
UNCHANGED = {
    # Its output is unknown in a preview that changes its text; then every image and container depending on it is, too.
    "mirror.sh",
}
"""Scripts whose comments are kept: any change of their text would make image digests unknown in a preview."""

IN_PLACE = {"mirror-account.sh": "mirror.sh", "use-mirror-accounts.sh": "use-mirror.sh"}
"""Scripts whose functions take the place of another one's, which stays as it is for stacks without them."""

_COMMENT = re.compile(r"^[ \t]*#.*\n", re.MULTILINE)


def assignments(values: Mapping[str, str]) -> str:
    """The values as quoted shell assignments, one a line. Trailing newlines are kept, for values that become files."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def text(name: str) -> str:
    """The text of a script as hosts get it: for a shell script, after the library's functions and its own.

    Lines that are comments are left out, so that another comment changes no host. Within a here-document or a quoted
    text such a line would be lost, too; a unit test checks that no script has one there.

    Args:
        name: the script's file name.
    """
    path = SCRIPTS / name
    if name in IN_PLACE:
        # The last line calls the functions.
        *whole, call = text(IN_PLACE[name]).splitlines(keepends=True)
        return "".join([*whole, _without_comments(path), call])
    if name in UNCHANGED:
        return path.read_text()
    header = f"# Slipway: components/scripts/{name} without its comments.\n"
    content = _without_comments(path)
    if not name.endswith(".sh"):
        return header + content
    ahead = [_without_comments(SCRIPTS / part) for part in (LIBRARY, *PARTS.get(name, ()))]
    return "".join(["#!/usr/bin/env bash\n", header, *ahead, content])


@cache  # every host gets the same ones
def _without_comments(path: Path) -> str:
    return _COMMENT.sub("", path.read_text())


def with_values(name: str, values: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
    """The standard input of `bash -s`: the values, then the script. Always secret."""
    script = text(name)
    return pulumi.Output.secret(pulumi.Output.all(**values).apply(lambda known: assignments(known) + script))


def remote_command(
    name: str,
    host: Host,
    script: str,
    values: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
    *,
    undone_with: Sequence[pulumi.Input[str]] = (),
    is_undone: bool = False,
) -> command.remote.Command:
    """Runs a script on a host as root; again whenever the script or one of its values changes.

    Its output is neither shown nor plain in the state, since it may contain the values.

    Args:
        name: the resource's name.
        host: the host.
        script: the script's file name.
        values: the script's values, by name.
        opts: the resource's options.
        undone_with: ids of resources that cannot go before the script has undone its work: if one of them is replaced,
            the script first runs with the argument `undo`, with its earlier values. None if there is nothing to undo.
        is_undone: whether the script runs with the argument `undo` when the command is deleted.
    """
    private = pulumi.ResourceOptions(
        additional_secret_outputs=["stdout", "stderr"],
        # The whole list, too: Pulumi takes it to be unknown when it looks for what has to go before such a resource.
        replace_on_changes=["triggers"] if undone_with else None,
    )
    return command.remote.Command(
        name,
        connection=host.ssh,
        create=host.as_root("bash -s"),
        delete=host.as_root("bash -s undo") if undone_with or is_undone else None,
        triggers=list(undone_with) or None,
        stdin=with_values(script, values),
        logging=command.remote.Logging.NONE,
        add_previous_output_in_env=False,
        opts=host.on_host(pulumi.ResourceOptions.merge(private, opts)),
    )
