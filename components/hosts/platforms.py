"""From the settings to hosts, by the platform that they name. Only that platform's SDK is imported."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pulumi_tls as tls

from components.authorities import Authorities
from components.guests import others_hosts
from components.host import Announce, Host
from configuration.settings import StackSettings
from resolvers import resolvers


def make_hosts(settings: StackSettings, authorities: Authorities) -> tuple[dict[str, Host], Announce]:
    """The stack's hosts, by name, and the operator's SSH key, which logs in to all of them.

    Returns the hosts, and what makes the stack's names lead to them.
    """
    if authorities.host_stack is not None:
        # The names of a guest lead to the other stack's hosts by a wildcard that its people keep.
        return others_hosts(settings, authorities.host_stack), lambda _: None
    ssh_key = tls.PrivateKey("ssh-key", algorithm="ED25519")
    known = authorities.previous_outputs.get("hosts")
    if settings.platform.kind == "aws":
        from components.hosts.aws import platform as aws

        names = names_of(authorities.previous_outputs)
        return aws.make_hosts(settings, ssh_key, known if isinstance(known, dict) else {}, names)
    from components.hosts import local

    # What the hosts' set-up was first told stays: elsewhere, `slip up` tells the hosts (cli/update/name_servers.py).
    before = authorities.previous_outputs.get("resolvers")
    servers = [str(server) for server in before] if isinstance(before, list) and before else resolvers()
    # No name server knows hosts on a person's own machine.
    return local.make_hosts(settings, ssh_key, servers, is_new=not known), lambda _: None


def names_of(outputs: Mapping[str, Any]) -> frozenset[str]:
    """The names by which visitors reach the services of a stack with these outputs."""
    addresses = outputs.get("serviceUrls")
    urls = [url for each in addresses.values() for url in each] if isinstance(addresses, dict) else []
    return frozenset(urlsplit(str(url)).hostname or "" for url in urls)
