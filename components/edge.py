"""An edge: a host whose proxy stands before all app hosts, and hands each request on to one that is well.

What it stands before is the same for every version of a service: versions switch behind the proxies of the app hosts.
"""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_command as command

from components import script
from components.host import Host
from components.proxy import Proxy
from components.routing import Routing
from configuration.settings import StackSettings

PATIENCE_SECONDS = 5
"""How much longer than an app host's proxy an edge waits for an answer: the one behind it knows why there is none."""


def deliver(
    settings: StackSettings,
    hosts: Mapping[str, Host],
    name: str,
    proxy: Proxy,
    after: Sequence[pulumi.Resource],
) -> command.remote.Command:
    """Bring what an edge stands before to its proxy, which takes it without a lost request.

    Args:
        settings: the stack's.
        hosts: the stack's hosts, by name.
        name: the edge.
        proxy: the edge's.
        after: what it waits for: the app hosts serve all names by then, and know the edge.
    """
    host = hosts[name]
    return script.remote_command(
        f"{name}-backends",
        host,
        "edge.sh",
        {
            "BACKENDS": pulumi.Output.concat(*lines(settings, hosts, host.https_port)),
            "TRUSTED": ",".join(map(str, settings.proxy.trusted_proxies)),
            "CERTIFICATES": ",".join(settings.https_on(name)),
            "ACME": "yes" if settings.acme_on(name) else "",
            "PAGES": ",".join(settings.with_error_page(name)),
        },
        pulumi.ResourceOptions(
            parent=proxy,
            depends_on=[*proxy.ready, *after],
            # The host may be down.
            retain_on_delete=True,
        ),
    )


def lines(settings: StackSettings, hosts: Mapping[str, Host], https_port: int) -> list[pulumi.Input[str]]:
    """What an edge stands before, in the words of scripts/edge.sh: a line for each app host, service and route.

    Args:
        settings: the stack's.
        hosts: the stack's hosts, by name.
        https_port: where visitors reach the edge by HTTPS.
    """
    found: list[pulumi.Input[str]] = []
    for host in settings.hosts_with("app"):
        found += [f"host {host} ", hosts[host].private_address, "\n"]
    for name, service in settings.services.items():
        if service.own_check is not None:
            continue
        routing = Routing.of(settings, name)
        found.append(f"service {name} {' '.join(options(settings, name, routing, https_port))}\n")
        found += [f"route {key} {name}\n" for key in routing.keys]
    return found


def options(settings: StackSettings, name: str, routing: Routing, https_port: int) -> list[str]:
    """How an edge asks a service's hosts for its health, how long it waits for an answer, and its HTTPS."""
    service = settings.services[name]
    probe = routing.probe(service.health_path)
    # A page that is no health path may be missing.
    status = "200-299" if probe.endswith(service.health_path) else "200-499"
    # An app host's proxy may have held the request in its queue for as long as it waits for the answer.
    waits = routing.timeout_seconds * (2 if routing.max_connections else 1) + PATIENCE_SECONDS
    found = {
        "hosts": ",".join(settings.service_hosts(name)),
        "health": probe,
        "status": status,
        "name": routing.canonical or routing.visited(name) or name,
        "timeout": str(waits),
        "canonical": routing.canonical,
        "https": str(https_port) if settings.has_https(name) else "",
        "hsts": "" if service.hsts is None else str(service.hsts),
    }
    return [f"{option}={value}" for option, value in found.items() if value]


def known_by(line: str, settings: StackSettings, hosts: Mapping[str, Host]) -> pulumi.Output[str]:
    """The command by which an app host's proxy learns its edges: it believes them, and no one else, who the client is.

    Args:
        line: the command without them.
        settings: the stack's.
        hosts: the stack's hosts, by name.
    """
    addresses = pulumi.Output.all(*(hosts[edge].private_address for edge in settings.edges))
    return addresses.apply(lambda known: f"{line} edges={','.join(known)}")
