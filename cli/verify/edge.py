"""The check of `slip verify` on edges: each finds every host of a service well.

A subject is `service on edge`.
"""

from cli.running.stack import Failed, RunningStack
from cli.verify.found import host_of


def subjects(running: RunningStack) -> list[str]:
    """Every service behind each edge that was asked."""
    urls = running.outputs["serviceUrls"]
    return [
        f"{service} on {edge}"
        for service, edge in running.doors
        if edge in running.edges and edge in running.reports and urls[service]
    ]


def reaches_hosts(running: RunningStack, subject: str) -> str:
    """An edge hands a service's requests on to all of its hosts, and finds each of them well."""
    service, edge = subject.rpartition(" on ")[0], host_of(subject)
    found = running.reports[edge].behind.get(service, {})
    hosts = [host for name, host in running.places if name == service]
    if unknown := [host for host in hosts if host not in found]:
        raise Failed(f"it does not know {', '.join(unknown)}")
    if ill := [host for host in hosts if not found[host]]:
        raise Failed(
            f"it finds the service ill on {', '.join(ill)}, and sends no requests there",
            f"./slip logs {service} --host {ill[0]}{running.option}",
        )
    return f"well on {', '.join(hosts)}"
