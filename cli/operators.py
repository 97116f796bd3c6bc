"""`slip operator`: the people of `slipway:operators`, and their client certificates for the engines."""

from cli.errors import CommandError
from cli.stack.stack import Stack


def certificate(stack: Stack, name: str, *, key: bool) -> str:
    """An operator's client certificate for the engines, or its private key: PEM.

    Raises:
        CommandError: the stack has no such operator, or no `up` has made the certificate yet.

    """
    outputs = stack.outputs()
    known = outputs.get("operatorKeys" if key else "operatorCertificates") or {}
    if name in known:
        return str(known[name])
    others = f"Operators with one: {', '.join(sorted(known))}. " if known else ""
    raise CommandError(
        f"the operator '{name}' of the stack '{stack.name}' has no certificate",
        f"{others}Set `slipway:operators: {{{name}: ssh-ed25519 …}}` in {stack.edited_file.name}, then run "
        f"`./slip up{stack.option}`.",
    )
