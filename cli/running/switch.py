"""Orders to the switch of hosts (components/scripts/switch.sh): all hosts at once, one connection each."""

import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cli.errors import CommandError
from cli.running import ssh
from cli.running.stack import RunningStack
from well_known import SWITCH_SCRIPT_PATH


def hosts_of(running: RunningStack, service: str, stack: str) -> list[str]:
    """The hosts of a service.

    Raises:
        CommandError: the stack has no such service.

    """
    if service not in running.services:
        raise CommandError(
            f"the stack '{stack}' has no service '{service}'",
            f"Services: {', '.join(running.services) or 'none'}.",
            status=2,
        )
    return [host for name, host in running.places if name == service]


def order(
    running: RunningStack,
    hosts: Sequence[str],
    words: Sequence[str],
    *,
    stdin: str = "",
    patience: float = 60,
) -> list[str]:
    """Give hosts an order. Returns what went wrong, a text for each host that did not obey.

    Args:
        running: the stack.
        hosts: who gets it.
        words: the arguments of the switch.
        stdin: its standard input.
        patience: seconds that it may take.

    """
    command = shlex.join([SWITCH_SCRIPT_PATH, *words])

    def tell(host: str) -> str:
        try:
            result = ssh.run(running.outputs, host, command, patience, stdin=stdin)
        except CommandError as error:
            return str(error)
        return f"{host}: {result.stderr.strip()}" if result.status else ""

    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        return [failure for failure in pool.map(tell, hosts) if failure]
