"""Services that may make packets by themselves, and so can pretend to be a neighbour: a deployment warns of them."""

import pulumi

from configuration.settings import StackSettings

CAPABILITIES = ("NET_ADMIN", "NET_RAW")
"""The rights that it takes to answer in the name of another address."""


def pretenders(settings: StackSettings) -> dict[str, list[str]]:
    """The services that can answer in a neighbour's place, each with its neighbours, by name."""
    found = {}
    for name, service in settings.services.items():
        if not set(CAPABILITIES) & set(service.capabilities):
            continue
        hosts = set(settings.service_hosts(name))
        others = [
            other for other in settings.services if other != name and hosts & {*settings.service_hosts(other)}
        ]
        if others:
            found[name] = others
    return found


def warn_of_pretenders(settings: StackSettings) -> None:
    """Warns of each service that can answer in a neighbour's place."""
    for name, others in pretenders(settings).items():
        pulumi.log.warn(
            f"The service {name} has {' or '.join(CAPABILITIES)} (slipway:services.{name}.capabilities), so whoever "
            f"takes it over can answer the proxy of its host in the place of {', '.join(others)}. Give it hosts of "
            f"its own by slipway:services.{name}.hosts, or leave the capability out."
        )
