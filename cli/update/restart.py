"""`slip restart`: fresh containers for a service, host after host, at the version that serves.

It is an update by Pulumi of the service's own resources, so that the state describes what serves.
"""

from collections.abc import Sequence

from cli import console
from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.open import open_stack
from cli.update import orders, versions
from cli.update.updates import Update, up


def run(name: str, service: str, *, options: Sequence[str] = (), emulate: bool = False) -> int:
    """Restart a service. Returns the exit status.

    Args:
        name: the stack's name.
        service: the service's.
        options: additional arguments for Pulumi.
        emulate: whether it is the stack's emulation.

    Raises:
        CommandError: the stack has no such service, or its last roll-out has not ended well.

    """
    stack = open_stack(name, edits=True, works_on_hosts=True, emulate=emulate)
    state = stack.deployment()
    outputs = deployment.stack_outputs(state)
    hosts = outputs.get("serviceHosts") or {}
    if service not in hosts:
        raise CommandError(
            f"the stack '{stack.name}' has no service '{service}'",
            f"Services: {', '.join(hosts) or 'none'}.",
            status=2,
        )
    known = versions.every(outputs).get(service)
    if known and not versions.is_whole(known.version(known.current, stack.option)):
        raise CommandError(
            f"nothing was changed: the roll-out of version {known.current} of {service} has not ended well",
            f"`./slip up{stack.option}` goes on with it; `./slip rollback {service}{stack.option}` leaves it.",
            status=1,
        )
    what = f"version {known.current}" if known else "its image"
    console.say(
        f"{service} gets fresh containers of {what}, one host after another: {', '.join(hosts[service])}"
    )
    fresh = set(orders.containers_of(state, service))
    chosen = [
        word
        for urn in orders.targets_of(state, service)
        for word in ("--target-replace" if urn in fresh else "--target", urn)
    ]
    return up(
        Update(
            name,
            yes=True,
            preview=False,
            options=(*chosen, *options),
            emulate=emulate,
            kept=frozenset({service}),
            command="",
        )
    )
