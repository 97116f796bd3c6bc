"""A stand-in for pulumi-aws: the network, hosts, volumes, snapshots and names that Slipway's platform `aws` uses.

The official plugin is Terraform's aws provider behind Pulumi's bridge.  So is this one, in small: `plugins.bridge`
does what the bridge does with any schema; `kind` says what a type of resource is; `network`, `security`,
`instance`, `address`, `volume`, `iam`, `backup` and `dns` are the table, one `Kind` a type; `functions` are the
look-ups; `cloud` and `errors` speak to AWS by boto3, which is imported with the first call to AWS and not before.
"""

from plugins.protocol.provider import Provider


def provider() -> Provider:
    """Return the plugin."""
    from plugins.aws.plugin import Aws

    return Aws()
