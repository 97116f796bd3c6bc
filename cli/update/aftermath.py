"""What the hosts say after an update that failed: asked once, by whoever first needs it, for all who need it."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.deployment import Deployment
from cli.stack.stack import Stack

if TYPE_CHECKING:
    from cli.running.host_report import HostReport


class Aftermath:
    """The state and the hosts as they are when the first question comes."""

    def __init__(self, stack: Stack) -> None:
        """Ask nothing yet."""
        self._stack = stack
        self.has_changed = False
        """Whether the update has changed something."""
        self.reasons: list[str] = []
        """Why the update failed, one line each: who, and why."""

    @cached_property
    def state(self) -> Deployment:
        """The state with its secrets; empty if it has no hosts, or cannot be read: Pulumi's own error says why."""
        try:
            if not deployment.hosts(self._stack.deployment()):
                return {}
            state = self._stack.deployment_with_secrets()
        except (CommandError, ValueError):
            return {}
        return state

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The outputs with their secrets; empty if nobody could reach a host with them."""
        try:
            outputs = deployment.outputs_with_secrets(self.state)
        except ValueError:
            return {}
        return outputs if outputs.get("hosts") and outputs.get("sshPrivateKey") else {}

    @cached_property
    def reports(self) -> "dict[str, HostReport]":
        """What each host runs and serves, and what differs from what was made there; none without outputs."""
        if not self.outputs:
            return {}
        from cli.running import fleet  # slow to import
        from cli.stack.desired import desired

        return fleet.ask(self.outputs, desired=desired(self.state))
