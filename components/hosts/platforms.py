"""From the settings to hosts, by the platform that they name. Only that platform's SDK is imported."""

import pulumi_tls as tls

from components.authorities import Authorities
from components.guests import others_hosts
from components.host import Host
from configuration.settings import StackSettings
from resolvers import resolvers


def make_hosts(settings: StackSettings, authorities: Authorities) -> dict[str, Host]:
    """The stack's hosts, by name, and the operator's SSH key, which logs in to all of them."""
    if authorities.host_stack is not None:
        return others_hosts(settings, authorities.host_stack)
    ssh_key = tls.PrivateKey("ssh-key", algorithm="ED25519")
    known = authorities.previous_outputs.get("hosts")
    if settings.platform.kind == "aws":
        from components.hosts.aws import platform as aws

        return aws.make_hosts(settings, ssh_key, known if isinstance(known, dict) else {})
    from components.hosts import local

    # What the hosts' set-up was first told stays: elsewhere, `slip up` tells the hosts (cli/update/name_servers.py).
    before = authorities.previous_outputs.get("resolvers")
    servers = [str(server) for server in before] if isinstance(before, list) and before else resolvers()
    return local.make_hosts(settings, ssh_key, servers, is_new=not known)
