"""Types of networks: any, those that are not open to the internet, and private ones."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from configuration.constraints import distinct, mistake

LARGEST_NETWORK = {4: 8, 6: 20}
"""The shortest prefix of an allowed network, by IP version: the largest blocks that one organization was ever given."""
POOL_PREFIXES = (8, 23)
"""The shortest and the longest prefix of a pool: at least two networks of 254 addresses."""
CLOSED_REMEDY = "Write only the networks of your office or VPN, such as 203.0.113.7/32."
PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    )
)
"""Networks that are not routed on the internet: RFC 1918, RFC 6598 and RFC 4193."""


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise mistake(
            "neither an address nor a network", "Write one such as 203.0.113.7 or 198.51.100.0/24."
        ) from None
    if "/" in text and ipaddress.ip_interface(text).ip != network.network_address:
        raise mistake("not a network: it has host bits set", f"Write {network}, or the address alone.")
    return str(network)


def _closed(networks: tuple[str, ...]) -> tuple[str, ...]:
    """No network is larger than `LARGEST_NETWORK`, and neither are adjacent networks together."""
    for text in networks:
        if (network := ipaddress.ip_network(text)).prefixlen < LARGEST_NETWORK[network.version]:
            part = "the whole" if network.prefixlen == 0 else "a large part of the"
            raise mistake(f"{text} is {part} internet", CLOSED_REMEDY, value=text)
    for version, shortest in LARGEST_NETWORK.items():
        same = [network for text in networks if (network := ipaddress.ip_network(text)).version == version]
        for network in ipaddress.collapse_addresses(same):  # type: ignore[type-var]
            if network.prefixlen < shortest:
                raise mistake(f"together they include {network}", CLOSED_REMEDY)
    return networks


def _private(networks: tuple[str, ...]) -> tuple[str, ...]:
    for text in networks:
        network = ipaddress.ip_network(text)
        if not any(network.version == own.version and network.subnet_of(own) for own in PRIVATE):  # type: ignore[arg-type]
            raise mistake(f"{text} is not a private network", "Write one such as 10.0.0.0/16.")
    return networks


IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _pools(networks: tuple[str, ...]) -> tuple[str, ...]:
    for text in networks:
        network = ipaddress.ip_network(text)
        if network.version != 4 or not POOL_PREFIXES[0] <= network.prefixlen <= POOL_PREFIXES[1]:
            shortest, longest = POOL_PREFIXES
            raise mistake(
                f"{text} is not an IPv4 network from /{shortest} to /{longest}",
                "Write one such as 172.28.0.0/16.",
            )
    return networks


Network = Annotated[StrictStr, AfterValidator(_network)]
ClosedNetworks = Annotated[
    tuple[Network, ...],
    AfterValidator(distinct),
    AfterValidator(_closed),
    Field(examples=[["203.0.113.7/32"]]),
]
AddressPools = Annotated[
    tuple[Network, ...],
    AfterValidator(distinct),
    AfterValidator(_private),
    AfterValidator(_pools),
    Field(examples=[["172.28.0.0/16"]]),
]
PrivateNetworks = Annotated[
    tuple[Network, ...],
    AfterValidator(distinct),
    AfterValidator(_private),
    Field(examples=[["10.0.0.0/16"]]),
]
