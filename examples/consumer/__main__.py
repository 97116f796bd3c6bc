"""Reads a Slipway stack's outputs. A dashboard or a DNS zone in another project would do the same."""

import pulumi
from slipway_outputs import HostOutputs, SlipwayOutputs

slipway = SlipwayOutputs(pulumi.Config().require("stack"))


def app_hosts(hosts: dict[str, HostOutputs]) -> list[str]:
    """The hosts that run services."""
    return sorted(name for name, host in hosts.items() if "app" in host["roles"])


pulumi.export("urls", slipway.service_urls)
pulumi.export("images", slipway.images)
pulumi.export("appHosts", slipway.hosts.apply(app_hosts))
# A secret output stays secret in this project, too.
pulumi.export("registryPasswords", slipway.registry_passwords)
