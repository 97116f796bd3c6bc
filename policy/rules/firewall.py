"""Who may reach the ports of administration."""

import ipaddress
from collections.abc import Iterator

from policy.resource import Resource
from policy.rule import rule

ADMIN = {22: "SSH", 2376: "the Docker Engine"}
LARGEST = {4: 8, 6: 20}
"""The shortest prefix of a network that is one organization's, by IP version."""
ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - what is looked for


@rule("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "aws:ec2/securityGroup:SecurityGroup")
def no_admin_port_for_the_world(resource: Resource) -> Iterator[str]:
    """No security group opens SSH or a Docker Engine to the internet."""
    openings = [resource.inputs] if resource.get("cidrIpv4") or resource.get("cidrIpv6") else []
    for opening in (*openings, *resource.entries("ingress")):
        first, last = opening.get("fromPort"), opening.get("toPort")
        everything = str(opening.get("ipProtocol", opening.get("protocol"))) in {"-1", "all"}
        ports = [
            what
            for port, what in ADMIN.items()
            if everything
            or (isinstance(first, (int, float)) and isinstance(last, (int, float)) and first <= port <= last)
        ]
        networks = [
            opening.get("cidrIpv4"),
            opening.get("cidrIpv6"),
            *(opening.get("cidrBlocks") or ()),
            *(opening.get("ipv6CidrBlocks") or ()),
        ]
        for text in networks:
            if ports and isinstance(text, str) and _is_large(text):
                yield f"opens {' and '.join(ports)} to {text}. Name only the networks of your office or VPN."


@rule("docker:index/container:Container")
def admin_ports_on_this_machine_only(resource: Resource) -> Iterator[str]:
    """No container publishes SSH or a Docker Engine beyond 127.0.0.1."""
    for port in resource.entries("ports"):
        internal, address = port.get("internal"), port.get("ip")
        if internal in ADMIN and (address is None or address in ANYWHERE):
            yield f"publishes {ADMIN[int(internal)]} on every address. Publish it on 127.0.0.1."


def _is_large(text: str) -> bool:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False  # not known yet
    return network.prefixlen < LARGEST[network.version]
