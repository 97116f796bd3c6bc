"""The grace of services before `down` removes their hosts, which would end them at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cli.errors import CommandError
from cli.running import ssh
from cli.stack import deployment
from cli.stack.stack import Stack
from well_known import SWITCH_SCRIPT_PATH

LIMIT = 60
"""Seconds that the containers of a host get at most, whatever their services' `stopGrace`."""


def end_services(stack: Stack) -> None:
    """End the containers of all services, each within its grace; on hosts that do not answer, nothing.

    Nothing happens to a stack with protected resources, since Pulumi refuses to remove it.
    """
    state = stack.deployment()
    # It would end the services of the stack whose hosts these are, too. The switches of a guest end its own.
    if deployment.is_guest(state):
        return
    resources = deployment.resources(state)
    if not any("::slipway:index:Service" in resource["urn"] for resource in resources):
        return
    if any(resource.get("protect") for resource in resources):
        return
    outputs = stack.outputs()
    hosts = [name for name, facts in (outputs.get("hosts") or {}).items() if "app" in facts["roles"]]

    def end(host: str) -> None:
        try:
            command = f"timeout {LIMIT} {SWITCH_SCRIPT_PATH} --stop"
            ssh.run(outputs, host, command, patience=LIMIT + ssh.CONNECT_PATIENCE)
        except CommandError:
            pass  # Its services ended with it, or end with it.

    if hosts:
        with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
            list(pool.map(end, hosts))


def removes_all(options: Sequence[str]) -> bool:
    """Whether a `pulumi destroy` with these options removes the whole stack without asking first."""
    partial = ("--target", "-t", "--exclude", "--preview-only")
    return "--yes" in options and not any(
        option == name or option.startswith(f"{name}=") for option in options for name in partial
    )
