"""One version on all hosts of a service: which services are apart, and the update that takes them back.

It is an update with an order to the program (components/rollbacks.py), limited to the services' own resources.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cli.running.host_report import HostReport
from cli.stack import deployment
from cli.stack.deployment import Deployment
from cli.stack.stack import Stack
from cli.update import versions
from cli.update.aftermath import Aftermath
from cli.update.versions import Versions
from well_known import ROLLBACK_VARIABLE

SERVICE_COMPONENT = "slipway:index:Service"
IMAGE_COMPONENT = "slipway:index:AppImage"


def ordered(stack: Stack, back: Mapping[str, int]) -> Stack:
    """The stack, whose updates take services back to versions."""
    order = ",".join(f"{service}={number}" for service, number in back.items())
    variables = {**stack.pulumi.variables, ROLLBACK_VARIABLE: order}
    return replace(stack, pulumi=replace(stack.pulumi, variables=variables))


def moved_apart(aftermath: Aftermath) -> dict[str, tuple[int, int]]:
    """The services that a failed update has left with two versions: the failed version and the last good one."""
    found = {}
    for service, known in versions.every(aftermath.outputs).items():
        hosts = (aftermath.outputs.get("serviceHosts") or {}).get(service) or ()
        if versions.is_whole(known.version(known.current, "")):
            continue
        served = [serves(known, aftermath.reports.get(host)) for host in hosts]
        # A host that does not say what it serves could not be moved either.
        if None in served or known.current not in served:
            continue
        others = {one for one in served if one} - {known.current}
        good = known.before if len(others) != 1 else others.pop()
        if {*served} != {known.current} and good:
            found[service] = (known.current, good)
    return found


def serves(known: Versions, report: HostReport | None) -> int | None:
    """The version that a host serves; 0 if it serves none of them, None if that is unknown."""
    if report is None or not report.knows_services:
        return None
    serving = report.services.get(known.service)
    return (known.number_of(serving.digests, serving.since) or 0) if serving else 0


def targets_of(state: Deployment, service: str, silent: Sequence[str] = ()) -> list[str]:
    """The resources of a service, by URN: its containers, switches, pulls and in-use markers, but not its image.

    Args:
        state: the stack's.
        service: the service's name.
        silent: hosts that do not answer; what is on them stays as it is.

    """
    hosts = {resource["urn"]: name for name, resource in deployment.hosts(state).items()}
    found = []
    for resource in deployment.resources(state):
        if resource.get("delete"):
            continue
        urn, parent = str(resource["urn"]), str(resource.get("parent") or "")
        own = _is(urn, SERVICE_COMPONENT, service) or _is(parent, SERVICE_COMPONENT, service)
        marker = resource.get("type") == deployment.VOLUME_TYPE and _is(parent, IMAGE_COMPONENT, service)
        if (own or marker) and hosts.get(deployment.host_urn(state, resource), "") not in silent:
            found.append(urn)
    return found


def _is(urn: str, kind: str, name: str) -> bool:
    parts = urn.split("::")
    return len(parts) == 4 and parts[2].rpartition("$")[2] == kind and parts[3] == name
