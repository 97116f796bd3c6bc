"""From the settings to hosts, by the platform that they name. Only that platform's own SDK is imported."""

import pulumi_tls as tls

from components.host import Host
from configuration.settings import StackSettings


def make_hosts(settings: StackSettings, ssh_key: tls.PrivateKey) -> dict[str, Host]:
    """The stack's hosts, by name.

    Args:
        settings: the stack's.
        ssh_key: the operator's key, which logs in to them.

    """
    if settings.platform.kind == "aws":
        from components.hosts.aws import platform as aws

        return aws.make_hosts(settings, ssh_key)
    from components.hosts import local

    return local.make_hosts(settings, ssh_key)
