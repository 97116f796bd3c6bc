"""What every platform returns: a machine that answers SSH with a key that we know."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

REGISTRY_DATA_PATH = "/var/lib/slipway/registry"
"""Where a registry's host keeps the registry's data: every platform puts a volume of its own there."""

DIAL_TIMEOUT_SECONDS = 15
"""Seconds that one attempt to connect may take: the plugin's own default."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine of the stack, wherever it runs. From here on no component asks which platform it is on."""

    name: str
    """Its name in the configuration: a DNS label."""
    roles: frozenset[str]
    """Among `registry`, `build` and `app`."""
    address: pulumi.Input[str]
    """Where the operator reaches it: IP address or DNS name."""
    private_address: pulumi.Input[str]
    """Where the other hosts reach it: IP address or DNS name."""
    ssh_port: int
    """TCP port, at `address`, of its SSH server."""
    ssh_user: str
    """Who logs in there."""
    ssh_private_key: pulumi.Input[str]
    """The operator's key, in OpenSSH's format. Secret."""
    ssh_host_key: pulumi.Input[str]
    """The host's own public key, as a line of OpenSSH: known beforehand, never trusted on first use."""
    engine_port: int
    """TCP port, at `address`, of its Docker Engine's API."""
    http_port: int
    """TCP port, at `address`, on which its proxy serves, if it has the role `app`."""
    platform: str
    """What its engine runs and builds for, as Docker writes it: `linux/amd64`."""
    dns_names: list[str]
    """Names that its certificates carry."""
    ip_addresses: list[pulumi.Input[str]]
    """Addresses that its certificates carry."""
    resource: pulumi.Resource
    """The machine itself. What lives on the host is deleted and replaced with it."""
    birth: pulumi.Input[str]
    """An identity that is new whenever the machine is a new one."""
    private_ip: pulumi.Input[str] | None = None
    """Its private IP address, for what is not for everybody; None where all of its addresses are private."""
    ends_with: pulumi.Resource | None = None
    """What is deleted and replaced whenever the machine is, ahead of it; see `lives_here`."""
    ready: Sequence[pulumi.Resource] = ()
    """What the platform itself has to do on the machine before anybody else may."""

    def as_root(self, command_line: str) -> str:
        """The command line, for a remote command that only root may run."""
        return command_line if self.ssh_user == "root" else f"sudo -n {command_line}"

    @property
    def ssh(self) -> command.remote.ConnectionArgs:
        """How commands connect: until their own timeout, since a machine may still be booting."""
        return command.remote.ConnectionArgs(
            host=self.address,
            port=self.ssh_port,
            user=self.ssh_user,
            private_key=self.ssh_private_key,
            host_key=self.ssh_host_key,
            dial_error_limit=-1,
            per_dial_timeout=DIAL_TIMEOUT_SECONDS,
        )

    @property
    def engine_endpoint(self) -> pulumi.Output[str]:
        """The address of its Docker Engine, as Docker writes it."""
        return pulumi.Output.concat("tcp://", self.address, f":{self.engine_port}")

    def lives_here(self, options: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        """The options, completed for something that lives on this host.

        A host that is deleted takes it along without asking the engine, which may be dead; a host that is
        replaced gets it anew.

        Pulumi deletes all this ahead of a machine that it replaces, and counts the machine itself as deleted only
        then: with that alone as `deleted_with` it would ask engines whose providers are not there yet. So something
        stands for the machine that goes as early as the rest.
        """
        own = pulumi.ResourceOptions(
            deleted_with=self.ends_with or self.resource, replace_with=[self.resource]
        )
        return pulumi.ResourceOptions.merge(own, options)
