"""`slip run`, `slip exec` and `slip shell`: commands in a service's image, and in a container that runs."""

import shlex
import sys
from collections.abc import Sequence

from cli.errors import CommandError
from cli.running import silence, switch, terminal
from cli.running.ssh import ForeignKey, Unreachable, remedy_of_foreign_key
from cli.running.stack import running_of
from cli.stack.stack import Stack
from well_known import SWITCH_SCRIPT_PATH

NO_CONNECTION = 255
"""The exit status without a connection, as ssh(1) has it: commands seldom end with it."""
SHELL = ("/bin/sh", "-c", "if command -v bash >/dev/null; then exec bash; else exec sh; fi")
"""The better shell of an image."""


def run(stack: Stack, service: str, words: Sequence[str], *, host: str | None, fresh: bool) -> int:
    """Run a command in the deployed version of a service. Returns the command's exit status.

    Args:
        stack: the stack.
        service: the service's name.
        words: the program and its arguments. Without them a job runs, as by its timer.
        host: the host; by default the service's first one.
        fresh: whether it runs in a container of its own, and not in the one that serves.

    Raises:
        CommandError: there is no such service, it does not run there, it is no job and there are no words, or the host
            does not answer.

    """
    running = running_of(stack)
    hosts = switch.hosts_of(running, service, stack.name)
    if host is not None and host not in hosts:
        raise CommandError(f"{host} runs no {service}", f"{service} runs on {', '.join(hosts)}.", status=2)
    where = host or hosts[0]
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if words:
        options = ["terminal=yes"] if is_terminal else []
        arguments = ["--run" if fresh else "--exec", service, *options, "--", *words]
    elif service in (running.outputs.get("serviceSchedules") or {}):
        arguments, is_terminal = ["--run-job-now", service], False
    else:
        raise CommandError(
            f"there is no command, and {service} has no schedule by which it runs",
            f"Write: ./slip run {service} -- PROGRAM ARGUMENTS",
            status=2,
        )
    try:
        command = shlex.join([SWITCH_SCRIPT_PATH, *arguments])
        return terminal.run(running.outputs, where, command, is_terminal=is_terminal)
    except ForeignKey as error:
        raise CommandError(
            f"{where}: {error}", remedy_of_foreign_key(where, stack.option), status=NO_CONNECTION
        ) from error
    except Unreachable as error:
        raise CommandError(
            f"{where} does not answer: {error}", silence.remedy(running, where), status=NO_CONNECTION
        ) from error
