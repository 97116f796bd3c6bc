"""The check of `slip verify` on the services."""

from cli.running.http import get
from cli.running.stack import Failed, RunningStack
from cli.text import first_line


def answers_health(running: RunningStack, subject: str) -> str:
    """A service answers its health path on one of its hosts, through the proxy. The subject is `service URL`."""
    service, url = subject.split(" ", 1)
    path = running.outputs["serviceHealthPaths"][service]
    # The proxy routes by the domain, wherever its DNS record points today.
    domain = running.outputs.get("serviceDomains", {}).get(service, "")
    response = get(url.rstrip("/") + path, host=domain)
    # As in the roll-out: every status of 2xx is healthy.
    if not 200 <= response.status < 300:
        raise Failed(f"HTTP {response.status} on {path}: {first_line(response.body)}")
    return f"HTTP {response.status} on {path}"
