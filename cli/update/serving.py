"""What serves now, asked of the stack's hosts: for the end of a failed update, and of a successful one."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from cli.running.place import REFUSALS, Place, places
from cli.update.aftermath import Aftermath
from well_known import MAINTENANCE_HEADER, REFUSAL_HEADER, STOPPED_HEADER

if TYPE_CHECKING:
    from cli.running.host_report import HostReport

STOPPED = "stopped"
"""What is said of a service that an operator has stopped."""
PATIENCE = 2.0
"""Seconds that a service has to answer at the end of an update, which was healthy a moment ago."""

EXPECTED = frozenset({"healthy", *REFUSALS.values(), ""})
"""Answers of a service that is as it should be."""


def answers(outputs: Mapping[str, Any], option: str = "") -> list[tuple[str, str, str]]:
    """Each service on each of its hosts: who, what shows a page of it, and what its health path answers there.

    Args:
        outputs: the stack's; no secret is needed.
        option: what names the stack on the command line.

    """
    asked = places(outputs)
    if not asked:
        return []
    # Slow to import; an update imports it in the background (`warm_up`).
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=min(32, len(asked))) as pool:
        authority = str(outputs.get("servicesCaCertificate") or "")
        said = pool.map(lambda place: _answer(place, authority), asked)
        return [
            (f"{place.service} on {place.host}" if place.host else place.service, place.link(option), answer)
            for place, answer in zip(asked, said, strict=True)
        ]


def _answer(place: Place, authority: str) -> str:
    import http.client
    from urllib.parse import urlsplit

    from cli.running.http import connection_to, exchange
    from cli.running.https import https_context

    path = place.probe
    parts = urlsplit(f"//{place.address}")
    tls = https_context(place, authority) if place.tls else None
    connection = connection_to(parts.hostname or "", parts.port, tls, place.domain)
    connection.timeout = PATIENCE
    try:
        response = exchange(connection, path, {"Host": place.domain} if place.domain else {})
    except TimeoutError:
        return f"no answer on {path} within {PATIENCE:g} s"
    except ConnectionRefusedError:
        return "refuses the connection"
    except (OSError, http.client.HTTPException) as error:
        return f"no answer on {path}: {str(getattr(error, 'strerror', None) or error).lower()}"
    finally:
        connection.close()
    if response.header(STOPPED_HEADER):
        return STOPPED
    if response.header(MAINTENANCE_HEADER):
        return "under maintenance"
    if refusal := REFUSALS.get(response.header(REFUSAL_HEADER)):
        return refusal
    return "healthy" if place.is_well(response.status) else f"HTTP {response.status} on {path}"


def warm_up() -> None:
    """Import what `answers` needs, while the command waits for something else."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: F401 - the imports are the point

    from cli.running import http  # noqa: F401


def report(aftermath: Aftermath, switched: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """What each host serves, as the host itself says it: who, and what. Empty if the stack has no hosts yet.

    Args:
        aftermath: what the hosts say.
        switched: services and hosts that the update switched to a new container.

    """
    reports = aftermath.reports
    return [
        (f"{service} on {host}", _serves(service, reports[host], is_new=(service, host) in switched))
        for service, names in (aftermath.outputs.get("serviceHosts") or {}).items()
        for host in names
        if host in reports
    ]


def _serves(service: str, found: "HostReport", *, is_new: bool) -> str:
    if not found.answers:
        return f"unknown: {found.silence}"
    if not found.knows_services:
        return "unknown: its Docker Engine or its proxy does not answer"
    if job := found.jobs.get(service):
        return f"a job: {job}"
    serving = found.services.get(service)
    if service in found.stopped:
        return STOPPED
    if serving is None:
        return "nothing serves"
    version = "the new version" if is_new else "as before"
    image = f"image {serving.digest[7:19]}" if serving.digest else "its image has no digest"
    since = f", since {serving.since.astimezone():%Y-%m-%d %H:%M:%S}" if serving.since else ""
    health = f", {serving.health}" if serving.health else ""
    return f"{version}: {image}{since}{health}"
