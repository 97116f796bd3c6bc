"""The locks of a stack in a backend whose files this machine does not see: what the Pulumi CLI says about them."""

import re
from urllib.parse import urlsplit

from cli.errors import CommandError
from cli.stack.backend import Lock, moment
from cli.stack.stack import Stack

_LOCK = re.compile(r"created by (?P<user>.*)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")
"""A lock in Pulumi's error, in a backend that it keeps in files: a bucket of a cloud."""

_OPERATION = re.compile(r"^ +(\w+) in progress:\n\s+Started: (.+)\n\s+Requested By: (.+)$", re.MULTILINE)
"""An update that runs, as `pulumi stack` shows it for Pulumi Cloud."""


def locks(stack: Stack) -> list[Lock]:
    """The stack's locks in a bucket. Pulumi Cloud has none to release: it lets a killed update go by itself.

    Raises:
        CommandError: an update runs in Pulumi Cloud, or the CLI does not say.

    """
    if stack.backend.keeps_secrets:
        _refuse_operation(stack)
        return []
    # Renaming a stack to its own name takes the lock, and fails in any case. No other command asks for the lock alone.
    said = stack.pulumi.attempt("stack", "rename", "--stack", stack.name, stack.short_name).stderr
    found = [
        Lock(int(lock["pid"]), lock["host"], moment(lock["since"]), lock["user"])
        for lock in _LOCK.finditer(said)
    ]
    if not found and "already exists" not in said:
        scheme = urlsplit(stack.backend.url).scheme
        raise CommandError(
            f"the last update of the stack '{stack.name}' was killed, and the backend ({scheme}) does not say whether "
            f"its lock is left: {said.strip() or 'no answer'}",
            f'If no update runs anywhere: eval "$(./slip env{stack.option})" && pulumi cancel -s {stack.name} --yes',
        )
    return found


def _refuse_operation(stack: Stack) -> None:
    said = stack.pulumi.read("stack", "--stack", stack.name)
    if found := _OPERATION.search(said):
        operation, since, author = found.groups()
        raise CommandError(
            f"an update of the stack '{stack.name}' runs: {operation.lower()}, requested by {author}, started {since}",
            "Wait until it ends. If it is the one that was killed here: "
            f'eval "$(./slip env{stack.option})" && pulumi cancel -s {stack.name} --yes',
        )
