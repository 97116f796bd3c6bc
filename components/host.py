"""A machine of the stack, as every platform returns it: reachable over SSH, with a host key known beforehand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

DIAL_TIMEOUT_SECONDS = 15
"""Seconds for one attempt to connect: the plugin's own default."""
DIAL_RETRIES = 20
"""How many failed dials are repeated on a machine that has answered before. The plugin waits 0.1 s, then half as long
again each time, up to 5 s: a minute in all, in which a machine has restarted."""

Serving = Mapping[str, pulumi.Resource]
"""What has made each host that visitors reach serve them, by the host's name."""
Announce = Callable[[Serving], None]
"""Makes the stack's names lead to its hosts, once these serve."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine of the stack. The components that use it do not depend on its platform."""

    name: str
    """Its name in the configuration: a DNS label."""
    roles: frozenset[str]
    """Among `registry`, `build`, `app` and `edge`."""
    address: pulumi.Input[str]
    """The address that the operator uses: IP address or DNS name."""
    private_address: pulumi.Input[str]
    """The address that the other hosts use: IP address or DNS name."""
    ssh_port: int
    """TCP port of its SSH server, at `address`."""
    ssh_user: str
    """The account to log in to."""
    ssh_private_key: pulumi.Input[str]
    """The operator's key, in OpenSSH's format. Secret."""
    ssh_host_key: pulumi.Input[str]
    """The host's own public key, as a line of OpenSSH: known beforehand, never trusted on first use."""
    engine_port: int
    """TCP port of its Docker Engine's API, at `address`."""
    http_port: int
    """TCP port of its proxy, at `address`, if it has the role `app` or `edge`."""
    https_port: int
    """The same for HTTPS; it answers while a service of the host has HTTPS."""
    platform: str
    """The platform of its engine in Docker's notation, such as `linux/amd64`."""
    dns_names: list[str]
    """DNS SANs of its certificates."""
    ip_addresses: list[pulumi.Input[str]]
    """IP SANs of its certificates."""
    resource: pulumi.Resource | None
    """The machine itself. What runs on the host is deleted and replaced with it. None for another stack's host."""
    machine_id: pulumi.Input[str]
    """An id that is different for each new machine."""
    seen_by_containers: pulumi.Input[str]
    """Where the other hosts' containers would reach it: its private IP address, or the IPv4 network of all hosts."""
    private_ip: pulumi.Input[str] | None = None
    """Its private IP address, for ports that are not public; None if all its addresses are private."""
    health_check_id: pulumi.Input[str] = ""
    """The check by which Route 53 leaves it out of its answers while it does not answer itself; empty without one."""
    resolvers: Sequence[str] = ()
    """Name servers for its builds, IPv4 addresses; none if the host knows its own."""
    deleted_with: pulumi.Resource | None = None
    """The host's set-up command, which Pulumi deletes before the machine; see `on_host`."""
    ready: Sequence[pulumi.Resource] = ()
    """The platform's own set-up of the machine, which all other work on it waits for."""

    def as_root(self, command_line: str) -> str:
        """The command line of a remote command that runs as root."""
        return command_line if self.ssh_user == "root" else f"sudo -n {command_line}"

    @property
    def ssh(self) -> command.remote.ConnectionArgs:
        """The connection for remote commands.

        A machine's first command retries until its timeout, since the machine may still be booting.
        """
        is_first = self.resource is not None and self.deleted_with is None
        return command.remote.ConnectionArgs(
            host=self.address,
            port=self.ssh_port,
            user=self.ssh_user,
            private_key=self.ssh_private_key,
            host_key=self.ssh_host_key,
            dial_error_limit=-1 if is_first else DIAL_RETRIES,
            per_dial_timeout=DIAL_TIMEOUT_SECONDS,
        )

    @property
    def engine_endpoint(self) -> pulumi.Output[str]:
        """The address of its Docker Engine in Docker's notation, `tcp://…`."""
        return pulumi.Output.concat("tcp://", self.address, f":{self.engine_port}")

    def on_host(self, options: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        """The options, completed for a resource that is on this host.

        If the host is deleted, the resource leaves the state without a call to the engine, which may be down. If the
        host is replaced, the resource is created again.

        Pulumi deletes these resources first and marks the machine as deleted last, so `deleted_with` names the host's
        set-up command. If it named the machine, Pulumi would call engines whose providers are not loaded.
        """
        if self.resource is None:
            return options
        own = pulumi.ResourceOptions(
            deleted_with=self.deleted_with or self.resource, replace_with=[self.resource]
        )
        return pulumi.ResourceOptions.merge(own, options)
