"""What a configuration asks for: hosts with roles and ports, services with hosts. `configuration/` has the same rules.

Only for settings that are valid; the program reports the others, and changes nothing.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from cli.stack.config import StackConfig
from well_known import ENGINE_PORT, HTTP_PORT, HTTPS_PORT, REGISTRY_PORT, SSH_PORT


@dataclass(frozen=True)
class Wanted:
    """Hosts and services that a stack is to have."""

    platform: str
    hosts: dict[str, frozenset[str]] = field(default_factory=dict)
    """The roles of each host."""
    ports: dict[str, frozenset[int]] = field(default_factory=dict)
    """On the platform `local`: the ports of 127.0.0.1 that each host itself publishes."""
    https: frozenset[int] = frozenset()
    """The ports that are published next to the hosts, while services of theirs have HTTPS."""
    services: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The hosts of each service."""
    retention: tuple[int, int] | None = None
    """How many images the stack's own registry keeps in each repository, and for how many days; None for all."""


KEEP, DAYS = 10, 30
"""The defaults of `registry.retention`."""


def wanted(config: StackConfig) -> Wanted | None:
    """What the configuration asks for; None if its shape is wrong, so that the program refuses it."""
    try:
        return _wanted(config)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _wanted(config: StackConfig) -> Wanted:
    registry = config.setting("registry") or {}
    platform = config.setting("platform") or {}
    external = bool(registry.get("external"))
    default = {"box": {"roles": ["build", "app"] if external else ["registry", "build", "app"]}}
    hosts = config.setting("hosts") if config.has("hosts") else default
    services = config.setting("services") if config.has("services") else {}
    if not hosts:
        raise ValueError("no hosts")
    roles = {name: frozenset(host["roles"]) for name, host in hosts.items()}
    app_hosts = tuple(sorted(name for name in roles if "app" in roles[name]))
    offset = platform.get("portOffset", 0)
    ports = {
        name: frozenset(_ports(name, host, roles[name], offset, registry)) for name, host in hosts.items()
    }
    return Wanted(
        config.platform,
        roles,
        ports,
        frozenset(
            HTTPS_PORT + _shift(name, host, offset) for name, host in hosts.items() if _has_proxy(roles[name])
        ),
        {name: tuple(service.get("hosts") or app_hosts) for name, service in services.items()},
        None if external else _retention(registry),
    )


def _has_proxy(roles: frozenset[str]) -> bool:
    return not roles.isdisjoint({"app", "edge"})


def _retention(registry: dict[str, Any]) -> tuple[int, int] | None:
    rule = registry.get("retention")
    return None if rule is None else (int(rule.get("keep", KEEP)), int(rule.get("days", DAYS)))


def _shift(name: str, host: dict[str, Any], offset: int) -> int:
    number = re.search(r"[0-9]+$", name)
    slot = host.get("slot")
    return offset + (slot if slot is not None else int(number.group()) if number else 0)


def _ports(
    name: str, host: dict[str, Any], roles: frozenset[str], offset: int, registry: dict[str, Any]
) -> set[int]:
    shift = _shift(name, host, offset)
    ports = {SSH_PORT + shift, ENGINE_PORT + shift}
    if _has_proxy(roles):
        ports.add(HTTP_PORT + shift)
    if "registry" in roles:
        ports.add(registry.get("port") or REGISTRY_PORT + offset)
        if metrics := registry.get("metricsPort"):
            ports.add(metrics)
    return ports
