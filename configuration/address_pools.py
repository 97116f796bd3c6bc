"""Address pools of the hosts' engines: where the networks of containers lie.

An engine routes these networks to its containers. A client in the same network, behind a VPN or in a VPC, would get no
answer. So the pools lie apart from every network that the settings name.
"""

import ipaddress
import json
from collections.abc import Iterable, Sequence

from configuration.networks import IPNetwork

FIRST = tuple(ipaddress.ip_network(f"172.{number}.0.0/16") for number in range(17, 21))
"""The first of the engine's own pools. A host has two networks, the engine's bridge and the services'; the third and
fourth are in reserve. Later pools are never reached."""
CANDIDATES = (
    *(ipaddress.ip_network(f"172.{number}.0.0/16") for number in range(21, 31)),
    *(ipaddress.ip_network(f"10.{number}.0.0/16") for number in (213, 227, 241)),
    ipaddress.ip_network("192.168.192.0/18"),
)
SIZE = 24
"""Prefix of each network in a pool: 254 addresses."""


def overlapping(network: IPNetwork, others: Iterable[IPNetwork]) -> IPNetwork | None:
    """The first of the others that shares an address with the network."""
    return next(
        (other for other in others if network.version == other.version and network.overlaps(other)), None
    )


def chosen(known: Sequence[IPNetwork]) -> tuple[IPNetwork, ...]:
    """The pool for engines whose clients are in these networks; none if the engine's own pools lie apart from them.

    An engine that is set up already thus keeps its pools, unless they clash.
    """
    if not any(overlapping(pool, known) for pool in FIRST):
        return ()
    return next(((pool,) for pool in CANDIDATES if not overlapping(pool, known)), ())


def daemon_settings(pools: Sequence[IPNetwork]) -> str:
    """The lines of `daemon.json`, with a comma at the end; empty without pools, so that the file stays as it was.

    The bridge has to be named: the engine started with another one before it was set up, and would keep that.
    """
    if not pools:
        return ""
    settings = {
        "bip": f"{pools[0].network_address + 1}/{SIZE}",
        "default-address-pools": [{"base": str(pool), "size": SIZE} for pool in pools],
    }
    return "".join(f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in settings.items())
