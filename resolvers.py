"""The name servers of this machine, for builds on local hosts."""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""systemd-resolved names only itself, at a loopback address, in the first file, and its servers in the second."""

KEPT = 2
"""How many are used: a resolver reads three at most, and Docker's own is the first."""


def resolvers(files: Sequence[Path] = FILES) -> list[str]:
    """IPv4 addresses of this machine's name servers that containers can reach; none if no file names any.

    Loopback addresses are none: in a container they lead to the container.
    """
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        words = re.findall(r"^\s*nameserver\s+(\S+)", text, re.MULTILINE)
        if found := [address for address in dict.fromkeys(words) if _is_reachable(address)]:
            return found[:KEPT]
    return []


def _is_reachable(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    # Docker's networks have no IPv6.
    return parsed.version == 4 and not (parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast)
