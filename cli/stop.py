"""`slip stop` and `slip start`: a service runs on none of its hosts, until an operator starts it again.

Each host remembers it, so that no roll-out and no restart of the host starts the service.
"""

import time
from collections.abc import Sequence

from cli import console
from cli.running import fleet, switch
from cli.running.host_report import HostReport
from cli.running.stack import RunningStack, running_of
from cli.stack.stack import Stack
from cli.update import versions

STOP_PATIENCE = 7300.0
"""Seconds: the longest `drainTimeout` and the longest `stopGrace`."""
HEALTH_TIMEOUT = 30.0
"""Seconds until a service is healthy, where its settings say nothing else: the default of `healthTimeout`."""
PAUSE = 0.5
"""Seconds between two questions to the hosts."""


def stop(stack: Stack, service: str) -> int:
    """Stop a service on all its hosts. Returns the exit status: 1 if a host did not obey.

    Raises:
        CommandError: the stack has no such service.

    """
    running = running_of(stack)
    hosts = switch.hosts_of(running, service, stack.name)
    if failures := switch.order(running, hosts, ["--halt", service], patience=STOP_PATIENCE):
        return _failed(failures)
    console.say(
        f"{service} is stopped on {', '.join(hosts)}, and stays so through `up` and restarts. To start it again: "
        f"./slip start {service}{running.option}"
    )
    return 0


def start(stack: Stack, service: str) -> int:
    """Start a service on all its hosts, and wait until it is healthy. Returns the exit status: 1 if it is not.

    Raises:
        CommandError: the stack has no such service.

    """
    running = running_of(stack)
    hosts = switch.hosts_of(running, service, stack.name)
    if failures := switch.order(running, hosts, ["--resume", service]):
        return _failed(failures)
    deadline = time.monotonic() + _health_timeout(running, service)
    while ill := _not_well(service, fleet.ask(running.outputs, hosts)):
        if time.monotonic() >= deadline:
            for host, why in ill.items():
                console.warn(f"{service} on {host}: {why}")
            console.say(f"./slip logs {service}{running.option} shows what it says.")
            return 1
        time.sleep(PAUSE)
    console.say(f"{service} runs again on {', '.join(hosts)}.")
    return 0


def _failed(failures: Sequence[str]) -> int:
    for failure in failures:
        console.warn(failure)
    return 1


def _health_timeout(running: RunningStack, service: str) -> float:
    known = versions.every(running.outputs).get(service)
    settings = known.version(known.current, running.option)["settings"] if known else {}
    return float(settings.get("healthTimeout") or HEALTH_TIMEOUT)


def _not_well(service: str, reports: dict[str, HostReport]) -> dict[str, str]:
    """The hosts on which the service is not healthy, and why."""
    found = {}
    for host, report in reports.items():
        serving = report.services.get(service)
        container = report.container(serving.container) if serving else None
        if report.serves_unknown:
            found[host] = report.serves_unknown
        elif serving is None or container is None or container.status != "running":
            found[host] = "it does not run"
        elif serving.healthy is False:
            found[host] = serving.health
    return found
