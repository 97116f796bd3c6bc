"""Reads a Slipway stack's outputs. A dashboard or a DNS zone in another project would do the same."""

import pulumi

slipway = pulumi.StackReference(pulumi.Config().require("stack"))

pulumi.export("urls", slipway.require_output("serviceUrls"))
pulumi.export("images", slipway.require_output("images"))
pulumi.export(
    "appHosts",
    slipway.require_output("hosts").apply(
        lambda hosts: sorted(name for name, host in hosts.items() if "app" in host["roles"])
    ),
)
# A secret output stays secret in this project, too.
pulumi.export("registryPasswords", slipway.require_output("registryPasswords"))
