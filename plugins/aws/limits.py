"""Limits of values, as the official plugin checks them before it calls AWS."""

import ipaddress
import json
from collections.abc import Callable
from typing import Any

Limit = Callable[[Any], str | None]
"""What is wrong with a value; None if nothing is."""


def ipv4_network(shortest: int = 0, longest: int = 32) -> Limit:
    """An IPv4 network by its first address, with a prefix of so many bits."""

    def wrong(value: str) -> str | None:
        try:
            network = ipaddress.IPv4Network(value)
        except ValueError as error:
            return f"has to be an IPv4 network; it is {value!r}: {error}"
        if not shortest <= network.prefixlen <= longest:
            return f"has to be a network from /{shortest} to /{longest}; it is {value!r}"
        return None

    return wrong


def ipv6_network(value: str) -> str | None:
    """An IPv6 network by its first address."""
    try:
        ipaddress.IPv6Network(value)
    except ValueError as error:
        return f"has to be an IPv6 network; it is {value!r}: {error}"
    return None


def json_text(value: str) -> str | None:
    """A text in JSON."""
    try:
        json.loads(value)
    except ValueError as error:
        return f"has to be JSON: {error}"
    return None
