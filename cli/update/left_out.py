"""Hosts that do not answer while others do the same work: an update leaves them out, and finishes on the others.

Pulumi would ask such a host's engine, fail, and begin no host after it. What the update leaves out stays in the state
as it was, so the next update that finds the host does the rest.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from cli import console
from cli.stack import deployment
from cli.stack.deployment import Deployment, Resource
from cli.stack.stack import Stack
from cli.update import diagnosis
from cli.update.diagnosis import Silence
from cli.update.forget import resources_on
from well_known import HOST_LABEL

OPTION = "--exclude"
_NEEDS_ALL = ("--target", "-t", "--replace", "--target-replace", "--target-dependents", "--expect-no-changes")
"""Options that say what an update is about, or that ask about every host."""
_ROLES = frozenset({"app", "edge"})
"""Roles that several hosts can have."""


def options(stack: Stack, given: Sequence[str]) -> list[str]:
    """Pulumi's options that leave out the hosts that may be left out; says which ones these are.

    Args:
        stack: the stack.
        given: the options of the command, which may leave out hosts already.

    """
    if len(stack.config.hosts) < 2 or any(option.partition("=")[0] in _NEEDS_ALL for option in given):
        return []
    state = stack.deployment()
    known = deployment.stack_outputs(state)
    if not _have_substitutes(known):
        return []
    # An everyday update asks the engines only, which takes a few milliseconds.
    engines = [endpoint for endpoint in diagnosis.endpoints(state) if endpoint.service == "engine"]
    if not any(reason for _, reason in diagnosis.failures(engines)):
        return []
    silent = [silence for silence in diagnosis.silences(state) if not silence.answers_ssh]
    before = among(silent, given, state)
    hosts = spared(known, [silence.host for silence in silent], stack.config.hosts)
    for silence in silent:
        if silence.host in hosts and silence not in before:
            console.warn(
                f"{silence.host} does not answer: {', '.join(silence.reasons)}. This leaves {silence.host} as it is, "
                "and goes on with the others."
            )
    left = {urn for silence in before for urn in urns_of(state, silence.host)}
    urns = [urn for host in hosts for urn in urns_of(state, host) if urn not in left]
    return [word for urn in urns for word in (OPTION, urn)]


def among(silent: Sequence[Silence], given: Sequence[str], state: Deployment) -> tuple[Silence, ...]:
    """Those of the silent hosts that the options leave out."""
    excluded = {urn for option, urn in pairwise(given) if option == OPTION}
    own = deployment.hosts(state)
    return tuple(silence for silence in silent if own.get(silence.host, {}).get("urn") in excluded)


def advice(silence: Silence, option: str) -> str:
    """The message about a host that an update has left out.

    Args:
        silence: the host.
        option: the option that names the stack on the command line, such as ` -s dev`.

    """
    start = f"`docker start {silence.container}`" if silence.container else "start it"
    return (
        f"{silence.host} was left out, since it does not answer.\n"
        f"  If it is only switched off: {start}. It is then as it was before, until the next "
        f"`./slip up{option}`.\n"
        f"  If it is lost for good: `./slip forget {silence.host}{option}`, then `./slip up{option}`."
    )


def spared(known: Mapping[str, Any], silent: Sequence[str], wanted: Collection[str]) -> list[str]:
    """The silent hosts that an update can leave out: each does nothing that no other host does.

    Args:
        known: the stack's outputs.
        silent: the hosts that do not answer.
        wanted: the hosts of the configuration. The removal of a host goes its own way.

    """
    hosts = known["hosts"]
    alive = {name for name in hosts if name not in silent}

    def has_substitute(host: str) -> bool:
        roles = set(hosts[host].get("roles", ()))
        groups = [its for its in (known.get("serviceHosts") or {}).values() if host in its]
        if "edge" in roles:
            groups.append([name for name, facts in hosts.items() if "edge" in facts.get("roles", ())])
        return roles <= _ROLES and all(alive.intersection(group) for group in groups)

    return [host for host in silent if host in hosts and host in wanted and has_substitute(host)]


def urns_of(state: Deployment, host: str) -> list[str]:
    """The URNs of a host, of all that is on it, and of the markers elsewhere that say what it serves."""
    own = deployment.hosts(state)[host]["urn"]
    everything = deployment.resources(state)
    on_it = resources_on(own, everything) | {own}
    return [
        resource["urn"]
        for resource in everything
        if not resource.get("delete") and (resource["urn"] in on_it or _tells_of(resource, host))
    ]


def _tells_of(resource: Resource, host: str) -> bool:
    labels = (resource.get("inputs") or {}).get("labels") or []
    return resource.get("type") == deployment.VOLUME_TYPE and any(
        isinstance(label, dict) and (label.get("label"), label.get("value")) == (HOST_LABEL, host)
        for label in labels
    )


def _have_substitutes(known: Mapping[str, Any]) -> bool:
    """Whether any host could be left out: the hosts of most small stacks cannot, and are not asked."""
    hosts = known.get("hosts")
    facts = [one for one in hosts.values() if isinstance(one, dict)] if isinstance(hosts, dict) else []
    return any(sum(role in one.get("roles", ()) for one in facts) > 1 for role in _ROLES)
