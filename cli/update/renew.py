"""`slip renew`: an update of all but the services, for a schedule: a clone with other code deploys nothing.

Its order to the program (components/rollbacks.py) keeps each service where and as it is; besides, the update leaves out
the services' resources.
"""

from collections.abc import Sequence

from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.open import open_stack
from cli.update import deletions, orders
from cli.update.updates import Update, up
from well_known import KEEP_ALL


def run(name: str, *, yes: bool, options: Sequence[str] = (), emulate: bool = False) -> int:
    """Renew what is due. Returns the exit status.

    Args:
        name: the stack's name.
        yes: do not ask for confirmation.
        options: additional arguments for Pulumi.
        emulate: whether it is the stack's emulation.

    Raises:
        CommandError: the stack is not up, or the update would remove or replace something.

    """
    stack = open_stack(name, edits=True, works_on_hosts=True, emulate=emulate)
    state = stack.deployment()
    services = deployment.stack_outputs(state).get("serviceHosts") or {}
    if not deployment.hosts(state):
        raise CommandError(
            f"the stack '{stack.name}' is not up, so there is nothing to renew",
            f"`./slip up{stack.option}` makes it.",
            status=1,
        )
    left_out = dict.fromkeys(urn for service in services for urn in orders.resources_of(state, service))
    options = (*(word for urn in left_out for word in ("--exclude", urn)), *options)
    deletions.refuse(stack, options)
    return up(
        Update(name, yes=yes, options=options, emulate=emulate, kept=frozenset({KEEP_ALL}), command="renew")
    )
