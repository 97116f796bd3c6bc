"""The network of a new stack on AWS: a CIDR that no other stack of the clone has."""

import contextlib
import ipaddress
from collections.abc import Iterable

from cli.stack.config import StackConfig

FIRST = ipaddress.IPv4Network("10.83.0.0/22")
"""What a stack has that sets none, as in `configuration/platform.py`, which is slow to import."""
SPACE = ipaddress.IPv4Network("10.0.0.0/8")


def of_configurations(configurations: Iterable[StackConfig]) -> list[ipaddress.IPv4Network]:
    """The networks that the stacks on AWS among these have for themselves, and the IPv4 networks of their clients."""
    found: list[ipaddress.IPv4Network] = []
    for configuration in configurations:
        platform = configuration.setting("platform")
        if configuration.platform != "aws" or not isinstance(platform, dict):
            continue
        network = platform.get("network")
        texts = [*_texts(platform.get("adminCidrs")), *_texts(platform.get("addressPools"))]
        if has_own(configuration):
            texts.append(str((network or {}).get("cidr") or FIRST))
        found += valid(texts)
    return found


def valid(texts: Iterable[str]) -> list[ipaddress.IPv4Network]:
    """Those of the texts that are IPv4 networks."""
    found = []
    for text in texts:
        with contextlib.suppress(ValueError):
            found.append(ipaddress.IPv4Network(text))
    return found


def has_own(configuration: StackConfig) -> bool:
    """Whether a stack makes a network of its own, and does not use one that exists."""
    platform = configuration.setting("platform")
    network = platform.get("network") if isinstance(platform, dict) else None
    return not (isinstance(network, dict) and (network.get("default") or network.get("subnets")))


def cidr(size: int, taken: Iterable[ipaddress.IPv4Network]) -> str | None:
    """The first network of this size, from 10.83.0.0 on, that overlaps none of the others; None if there is none.

    Args:
        size: the prefix's length.
        taken: the other networks.

    """
    others = list(taken)
    first = ipaddress.IPv4Network((int(FIRST.network_address), size), strict=False)
    step, begin = first.num_addresses, int(SPACE.network_address)
    ahead = range(int(first.network_address), begin + SPACE.num_addresses, step)
    behind = range(begin, int(first.network_address), step)
    for address in (*ahead, *behind):
        candidate = ipaddress.IPv4Network((address, size))
        if not any(candidate.overlaps(other) for other in others):
            return str(candidate)
    return None


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
