"""The checks of `slip verify` on the services: each host serves the wanted image, and answers through its proxy.

A subject is `service on host`, or a service.
"""

from datetime import UTC, datetime

from cli.running.host_report import Serving
from cli.running.http import get
from cli.running.https import https_context
from cli.running.place import REFUSALS
from cli.running.stack import Failed, RunningStack
from cli.text import age, first_line, short_digest
from cli.verify.found import Warned, host_of
from well_known import REFUSAL_HEADER


def serves_what_is_wanted(running: RunningStack, subject: str) -> str:
    """A host's proxy serves a service by the image that the last `up` built for it, and that container is healthy.

    A container that hung since then, and was restarted, is a warning; one that does so again and again fails.
    """
    service, host = subject.rpartition(" on ")[0], host_of(subject)
    serving = running.reports[host].services.get(service)
    wanted = running.wanted(service).partition("@")[2]
    if since := running.reports[host].stopped.get(service):
        said = age(since.isoformat(), datetime.now(UTC))
        return Warned(f"stopped since {said}; ./slip start {service}{running.option} starts it")
    if serving is None:
        raise Failed("its proxy serves nothing by this name")
    if not serving.digests:
        raise Failed(f"it serves {serving.container}, whose image has no digest")
    if wanted not in serving.digests:
        raise Failed(
            f"it serves {described(serving)}; the last update built {short_digest(wanted) or 'none'}"
        )
    logs = f"./slip logs {service} --host {host}{running.option}"
    hang, now = running.reports[host].hangs.get(service), datetime.now(UTC)
    told = hang.told(now) if hang else ""
    if hang and not hang.is_well(now):
        raise Failed(f"it serves {described(serving)}, which {told}", logs)
    if serving.healthy is False:
        raise Failed(
            f"it serves {described(serving)}, which is not healthy: {serving.health}",
            logs,
        )
    found = described(serving) + (f", {serving.health}" if serving.health else "")
    return Warned(f"{found}; it {told}") if told else found


def runs_on_schedule(running: RunningStack, subject: str) -> str:
    """A job's timer is active, and its last run did not fail."""
    service, host = subject.rpartition(" on ")[0], host_of(subject)
    job = running.reports[host].jobs.get(service)
    if job is None:
        raise Failed("its host has no timer for it", f"./slip up --refresh{running.option}")
    if not job.is_scheduled:
        raise Failed(str(job), f"./slip up --refresh{running.option}")
    if not job.is_well:
        raise Failed(str(job))
    return str(job)


def is_backed_up(running: RunningStack, subject: str) -> str:
    """A service's backups are made: no two in a row have failed or are missing."""
    service, host = subject.rpartition(" on ")[0], host_of(subject)
    backup = running.reports[host].backups.get(service)
    if backup is None or not backup.is_scheduled:
        raise Failed(str(backup or "its host has no timer for it"), f"./slip up --refresh{running.option}")
    missed = backup.missed(datetime.now(UTC))
    if missed > 1:
        raise Failed(str(backup))
    return Warned(str(backup)) if missed else str(backup)


def described(serving: Serving) -> str:
    """An image that serves, and since when: `sha256:0123456789ab since 5 min`."""
    since = age(serving.since.isoformat(), datetime.now(UTC)) if serving.since else ""
    return f"{short_digest(serving.digest)}{f' since {since}' if since else ''}"


def on_several_hosts(running: RunningStack) -> list[str]:
    """The services that several hosts serve, as far as the hosts say."""
    return [service for service in running.services if len(_by_host(running, service)) > 1]


def serves_one_version(running: RunningStack, service: str) -> str:
    """All hosts of a service serve the same image."""
    found = _by_host(running, service)
    digests = sorted({serving.digest for serving in found.values()})
    if len(digests) > 1:
        versions = (
            f"{short_digest(digest) or 'no digest'} on "
            + ", ".join(host for host, serving in found.items() if serving.digest == digest)
            for digest in digests
        )
        raise Failed(f"the hosts serve different versions: {'; '.join(versions)}")
    return f"{short_digest(digests[0])} on {', '.join(found)}"


def _by_host(running: RunningStack, service: str) -> dict[str, Serving]:
    return {
        host: running.reports[host].services[service]
        for name, host in running.places
        if name == service and host in running.reports and service in running.reports[host].services
    }


def answers_health(running: RunningStack, subject: str) -> str:
    """A service answers its health path through the proxy of one of its hosts, or of an edge."""
    service, host = subject.rpartition(" on ")[0], host_of(subject)
    if service not in (running.outputs.get("serviceHealthPaths") or {}):
        raise Failed("no version of it has become healthy yet")
    place = running.place(service, host)
    # The proxy routes by the domain, wherever its DNS record points today.
    tls = https_context(place, running.services_authority) if place.tls else None
    response = get(f"{place.scheme}://{place.address}{place.probe}", tls, host=place.domain)
    reports = running.reports_behind(service, host)
    if any(service in report.stopped for report in reports):
        return f"stopped: HTTP {response.status} on {place.probe}"
    if any(service in report.maintained for report in reports):
        return f"under maintenance: HTTP {response.status} on {place.probe}"
    # The proxy answered. The row `serves_what_is_wanted` says what the container itself answers.
    if refusal := REFUSALS.get(response.header(REFUSAL_HEADER)):
        return f"HTTP {response.status} on {place.probe}: {refusal}"
    # As in the roll-out: every status of 2xx is healthy.
    if not place.is_well(response.status):
        raise Failed(f"HTTP {response.status} on {place.probe}: {first_line(response.body)}")
    return f"HTTP {response.status} on {place.probe}"
