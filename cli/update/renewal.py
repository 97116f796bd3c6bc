"""Certificates that are not valid now: expired, or made by a clock that was ahead. An update makes them anew.

The TLS plugin renews a leaf certificate before its end, but leaves one whose validity has not begun. An authority keeps
its key, so only its certificate is made anew; what it has signed follows.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cli.stack import deployment, processes
from cli.stack.deployment import Deployment, Resource, name_of

CERTIFICATES = (
    "tls:index/selfSignedCert:SelfSignedCert",
    "tls:index/locallySignedCert:LocallySignedCert",
)
SOON = timedelta(hours=1)
"""Longer than any update takes."""


def invalid(state: Deployment, now: datetime | None = None) -> list[Resource]:
    """The certificates of a state that are not valid now."""
    moment = now or processes.now()
    return [
        resource
        for resource in deployment.resources(state)
        if resource.get("type") in CERTIFICATES
        and not resource.get("delete")
        and not _begin(resource) <= moment < _end(resource)
    ]


def are_due(state: Deployment, now: datetime | None = None) -> bool:
    """Whether a certificate is due for renewal within `SOON`, or does not say when it is."""
    moment = (now or processes.now()) + SOON
    return any(
        _renewed_from(resource) <= moment
        for resource in deployment.resources(state)
        if resource.get("type") in CERTIFICATES and not resource.get("delete")
    )


def _renewed_from(resource: Resource) -> datetime:
    """When the TLS plugin begins to renew a certificate; the beginning of time if that is unknown."""
    never = datetime.min.replace(tzinfo=UTC)
    end = _moment(resource, "validityEndTime", never)
    early = (resource.get("inputs") or {}).get("earlyRenewalHours", 0)
    return end - timedelta(hours=early) if end != never and isinstance(early, (int, float)) else never


def options(certificates: Iterable[Resource]) -> list[str]:
    """Pulumi's options that make these certificates anew."""
    return [option for resource in certificates for option in ("--replace", resource["urn"])]


def description(certificates: Iterable[Resource], now: datetime | None = None) -> str:
    """What is wrong with them: one line for each."""
    moment = now or processes.now()
    lines = []
    for resource in certificates:
        name = name_of(resource["urn"]).removesuffix("-certificate")
        begin, end = _begin(resource), _end(resource)
        why = f"not valid before {begin:%Y-%m-%d %H:%M} UTC" if begin > moment else f"expired {end:%Y-%m-%d}"
        lines.append(f"  {name}: {why}")
    return "\n".join(lines)


def _begin(resource: Resource) -> datetime:
    return _moment(resource, "validityStartTime", datetime.min.replace(tzinfo=UTC))


def _end(resource: Resource) -> datetime:
    return _moment(resource, "validityEndTime", datetime.max.replace(tzinfo=UTC))


def _moment(resource: Resource, key: str, default: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(str((resource.get("outputs") or {})[key]))
    except (KeyError, ValueError):
        return default
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
