"""A stand-in for pulumi-aws: the network, hosts, volumes, snapshots and names that Slipway's platform `aws` uses.

The official plugin consists of Terraform's aws provider behind Pulumi's bridge. This one has the same structure:
`plugins.bridge` does what the bridge does with any schema; `kind` defines `Kind`, a type of resource; `network`,
`security`, `instance`, `address`, `volume`, `iam`, `backup` and `dns` are the table of `Kind`s; `functions` are the
look-ups; `cloud` and `errors` call AWS with boto3, which is imported with the first call.
"""

from plugins.protocol.provider import Provider


def provider() -> Provider:
    """Return the plugin."""
    from plugins.aws.plugin import Aws

    return Aws()
