"""Records in Route 53: one for each of the stack's names, or one for each edge, with a health check of that edge.

Beside a plain record of a name, Route 53 takes no other one of it. Pulumi makes before it deletes, so a plain record
turns into the first edge's in place, which is one request of the provider: names resolve all the time. For the same
reason there is no way back: a plain record could only come after the last of several had gone.

A name leads to a host once the host serves, and no longer when the host goes: Pulumi deletes a record ahead of what it
depends on. Only the first record of a new name comes before: an ACME authority asks by that name, and nobody else does.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from components.host import Host, Serving
from components.hosts.aws.firewall import EVERYWHERE, HTTP
from configuration.settings import StackSettings

RECORD_TTL = 60
"""Seconds that DNS servers cache an address: short, so that a replaced host is reached soon."""
CHECK_SECONDS = 30
"""Seconds between two checks of a host by each of Route 53's checkers: 30, or 10 for a higher price."""
CHECK_FAILURES = 3
"""Failures in a row after which Route 53 leaves a host out: its own default."""


def has_checks(settings: StackSettings, known: Mapping[str, Any]) -> bool:
    """Whether each host that visitors reach by a name has a record of its own, with a health check.

    It has with several edges that everybody may reach, since Route 53 asks from the internet; and from then on.

    Args:
        settings: the stack's.
        known: the output `hosts` that the last update left.
    """
    if settings.platform.connect != "public":
        return False
    everybody = any(
        EVERYWHERE in its.allowed_cidrs for its in settings.services.values() if its.own_check is None
    )
    before = any(isinstance(host, Mapping) and host.get("healthCheckId") for host in known.values())
    return before or (everybody and len(settings.edges) > 1)


def make_checks(
    settings: StackSettings,
    hosts: Mapping[str, Host],
    known: Mapping[str, Any],
    label: str,
    opts: pulumi.ResourceOptions,
) -> dict[str, Host]:
    """Make the health checks of the hosts that visitors reach by a name. Returns all hosts, with what they have.

    Args:
        settings: the stack's.
        hosts: the stack's hosts, by name.
        known: the output `hosts` that the last update left.
        label: the first part of names in AWS.
        opts: parent and provider.
    """
    if not has_checks(settings, known):
        return dict(hosts)
    visited = {host for its in _visited(settings).values() for host in its}
    return {
        name: dataclasses.replace(host, health_check_id=_check(name, host, label, opts).id)
        if name in visited
        else host
        for name, host in hosts.items()
    }


def _visited(settings: StackSettings) -> dict[str, tuple[str, ...]]:
    """The names in the zone by which visitors come, each with the hosts that it leads to."""
    return {name: its for name, its in settings.names_in_zone().items() if name != settings.registry.domain}


def make_records(
    settings: StackSettings,
    hosts: Mapping[str, Host],
    known: Mapping[str, Any],
    names_before: Collection[str],
    zone_id: str,
    serving: Serving,
    opts: pulumi.ResourceOptions,
) -> None:
    """Make the records of the names in the stack's zone.

    Args:
        settings: the stack's.
        hosts: the stack's hosts, by name, with their health checks.
        known: the output `hosts` that the last update left.
        names_before: the names that led to hosts when the last update ended.
        zone_id: the zone.
        serving: what has made each host serve visitors, by the host's name.
        opts: parent and provider.
    """
    visited = _visited(settings)
    checked = visited if has_checks(settings, known) else {}

    def after(name: str, *its: str) -> pulumi.ResourceOptions:
        """The options of a record that comes once these hosts serve, if visitors know its name."""
        done = [serving[host] for host in its if host in serving] if name in visited else []
        return _merged(opts, pulumi.ResourceOptions(depends_on=done))

    for name, its in settings.names_in_zone().items():
        is_known = name in names_before
        if name not in checked:
            addresses = [hosts[host].address for host in its]
            _record(name, name, addresses, zone_id, after(name, *(its if is_known else ())))
            continue
        # The record that was the plain one is of a host that serves already.
        first, *others = sorted(its, key=lambda host: host not in known)
        alias = pulumi.ResourceOptions(aliases=[pulumi.Alias(name=name)])
        before = after(name, *([first] if is_known else []))
        made = _of_host(name, first, hosts[first], zone_id, _merged(before, alias))
        for host in others:
            beside = pulumi.ResourceOptions(depends_on=[made])
            _of_host(name, host, hosts[host], zone_id, _merged(after(name, host), beside))


def _check(name: str, host: Host, label: str, opts: pulumi.ResourceOptions) -> aws.route53.HealthCheck:
    return aws.route53.HealthCheck(
        f"{name}-health",
        # A connection to the proxy says enough: all edges stand before the same hosts.
        type="TCP",
        ip_address=host.address,
        port=HTTP,
        request_interval=CHECK_SECONDS,
        failure_threshold=CHECK_FAILURES,
        tags={"Name": f"{label}-{name}"},
        opts=opts,
    )


def _record(
    resource: str,
    name: str,
    addresses: list[pulumi.Input[str]],
    zone_id: str,
    opts: pulumi.ResourceOptions,
    **of_several: Any,
) -> aws.route53.Record:
    return aws.route53.Record(
        resource,
        zone_id=zone_id,
        name=name,
        type="A",
        ttl=RECORD_TTL,
        records=addresses,
        opts=opts,
        **of_several,
    )


def _of_host(
    name: str,
    host_name: str,
    host: Host,
    zone_id: str,
    opts: pulumi.ResourceOptions,
) -> aws.route53.Record:
    return _record(
        f"{name}-{host_name}",
        name,
        [host.address],
        zone_id,
        opts,
        # An answer has the addresses of up to eight hosts that are well, or of all if none is.
        multivalue_answer_routing_policy=True,
        set_identifier=host_name,
        health_check_id=host.health_check_id,
    )


def _merged(*options: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    merged = pulumi.ResourceOptions()
    for each in options:
        merged = pulumi.ResourceOptions.merge(merged, each)
    return merged
