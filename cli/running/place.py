"""Where a service answers: one of its hosts, from the stack's outputs. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

REFUSALS = {
    "network": "is for other networks",
    "password": "asks for a password",
    "rate": "has had too many requests from here",
}
"""What the proxy's own refusal of this machine means, by what it says in `REFUSAL_HEADER`. The service may be well."""


@dataclass(frozen=True)
class Place:
    """A service where visitors reach it: on one of its hosts, or on an edge before them."""

    service: str
    host: str
    """The host's name; empty if an old stack's outputs do not say it."""
    address: str
    """`address:port` of the host's proxy, for HTTPS if the service has it."""
    domain: str = ""
    """The name by which the proxy knows the service; empty for all names that belong to no other service."""
    is_local: bool = False
    """Whether the stack is on the platform `local`: then no name server knows its domains."""
    page: str = "/"
    """The beginning of its paths."""
    probe: str = "/"
    """A path that visitors reach the service by: its health path if they can."""
    health: str = "/"
    """Its health path, as its containers get it."""
    tls: str = ""
    """Who signed its certificate for HTTPS: `own` or `given`; empty for plain HTTP."""

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return "https" if self.tls else "http"

    def is_well(self, status: int) -> bool:
        """Whether the service works if this is the status of `probe`. A page that is no health path may be missing."""
        return 200 <= status < (300 if self.probe.endswith(self.health) else 500)

    @property
    def url(self) -> str:
        """The URL of a page of this service, if the domain leads to the host."""
        parts = urlsplit(f"//{self.address}")
        port = "" if parts.port in {None, 443 if self.tls else 80} else f":{parts.port}"
        return f"{self.scheme}://{self.domain or self.address.rpartition(':')[0]}{port}{self.page}"

    def link(self, option: str = "") -> str:
        """What shows a page of this service: its URL, or a command where no name server knows the domain.

        Args:
            option: what names the stack on the command line.

        """
        # Browsers and curl take every name that ends in .localhost for this machine (RFC 6761, section 6.3).
        if not self.domain or not self.is_local or self.domain.endswith(".localhost"):
            return self.url
        parts = urlsplit(f"//{self.address}")
        port = parts.port or (443 if self.tls else 80)
        authority = f" --cacert <(./slip output servicesCaCertificate{option})" if self.tls == "own" else ""
        return f"curl{authority} --resolve {self.domain}:{port}:{parts.hostname} {self.url}"


def places(outputs: Mapping[str, Any]) -> list[Place]:
    """Every service on each of its hosts, in the order of the roll-out, or on each edge. No secret is needed."""
    before = edges(outputs)
    hosts, domains = outputs.get("serviceHosts") or {}, outputs.get("serviceDomains") or {}
    health, probes = outputs.get("serviceHealthPaths") or {}, outputs.get("serviceProbePaths") or {}
    is_local = outputs.get("platform") == "local"
    found = []
    for service, urls in (outputs.get("serviceUrls") or {}).items():
        # A stack that an older Slipway updated last has the same addresses in its URLs.
        addresses = (outputs.get("serviceEndpoints") or {}).get(service) or [
            _address(str(url)) for url in urls
        ]
        names = before or hosts.get(service) or [""] * len(addresses)
        found += [
            Place(
                service,
                host,
                address,
                domains.get(service, ""),
                is_local,
                next((urlsplit(str(url)).path for url in urls), "") or "/",
                probes.get(service) or health.get(service) or "/",
                health.get(service) or "/",
                (outputs.get("serviceTls") or {}).get(service, ""),
            )
            for host, address in zip(names, addresses, strict=False)
        ]
    return found


def edges(outputs: Mapping[str, Any]) -> list[str]:
    """The names of the hosts that stand before all app hosts; none if visitors reach the app hosts themselves."""
    hosts = outputs.get("hosts") or {}
    return sorted(name for name, facts in hosts.items() if "edge" in facts.get("roles", ()))


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 80}"
