"""The sentences about hosts and their proxies."""

from cli.screen.plan.changes import CHANGE, MAKE, REMOVE, REPLACE, WORDS, Change, Changes, Sentence, joined
from cli.screen.subjects import Part

STOPS_INSTANCE = frozenset({"instanceType", "userData", "userDataBase64", "ebsOptimized", "cpuOptions"})
"""Inputs of an EC2 instance whose change stops and starts it, by the provider's documentation of aws.ec2.Instance."""


def about_hosts(found: Changes) -> list[Sentence]:
    """What happens to hosts, with what belongs to a host that is made or removed."""
    texts: dict[str, str] = {}
    machines = found.hosts
    for host, change in machines.items():
        texts[host] = _machine(found, host, change)
    for change in found.of(Part.HOST_SETUP):
        host = change.subject.host
        if host in texts:
            continue
        if change.verb == CHANGE and f"{host}'s engine" in found.renewed:
            texts[host] = (
                "set up again, and its engine restarts; containers run on, and DNS look-ups inside them fail for "
                "about a second"
            )
        elif change.verb == CHANGE:
            texts[host] = "set up again; containers run on, and nobody notices"
        elif change.verb == REMOVE:
            continue  # with its machine, or with what stood for it in a state that someone edited
        else:
            texts[host] = "set up again from the beginning, with what is on it"
    told = found.of(Part.HOST) + [c for c in found.of(Part.HOST_SETUP) if c.subject.host in texts]
    # What belongs to a machine that is made or removed goes with it.
    whole = {host for host, change in machines.items() if change.verb != CHANGE}
    told += [
        change
        for change in found.of(Part.HOST_IMAGES, Part.HOST_BOOT, Part.HOST_ADDRESS, Part.PROXY, Part.PULL)
        if change.subject.host in whole and change.verb in {machines[change.subject.host].verb, REPLACE}
    ]
    told += [c for c in found.of(Part.CONNECTION) if c.subject.of in whole]
    found.tell(told)
    return joined("host", "hosts", texts)


def _machine(found: Changes, host: str, change: Change) -> str:
    services = sorted(
        {c.subject.of for c in found.of(Part.CONTAINER) if c.subject.host == host and c.verb != MAKE}
        | {about.of for about in found.unchanged if about.part is Part.CONTAINER and about.host == host}
    )
    has_registry = any(c.verb in {REPLACE, REMOVE} for c in found.of(Part.REGISTRY)) and not services
    on_it = ", ".join(services)
    match change.verb:
        case "make":
            return "made"
        case "remove" if services:
            return f"removed, with its containers; {on_it} no longer answers there"
        case "remove":
            return "removed, with its containers"
        case "replace":
            why = f" (for: {', '.join(sorted(change.step.replacing))})" if change.step.replacing else ""
            effect = (
                f"{on_it} on it starts anew; its URL there does not answer until then"
                if services
                else "pushes and pulls wait until it is back; the images stay"
                if has_registry
                else "what is on it starts anew"
            )
            return f"made anew{why}; {effect}"
    stops = change.step.changed & STOPS_INSTANCE if "Instance" in change.step.type else frozenset()
    what = ", ".join(sorted(change.step.changed)) or "settings"
    if stops:
        return f"stopped and started again (for: {what}); what is on it does not answer for about a minute"
    return f"changed in place ({what}); nobody notices"


def about_proxies(found: Changes) -> list[Sentence]:
    """What happens to the proxies of hosts that stay."""
    texts: dict[str, str] = {}
    proxies = [change for change in found.rest if change.subject.part is Part.PROXY]
    for change in proxies:
        host, kind = change.subject.host, change.subject.of
        if kind == "Container" and change.verb in {REPLACE, CHANGE}:
            texts[host] = "restarted; services on that host do not answer for about a second"
        elif kind == "Container":
            texts[host] = WORDS[change.verb]
        elif kind != "RemoteImage":
            texts.setdefault(host, f"its {kind.lower()} is {WORDS[change.verb]}")
        else:
            texts.setdefault(
                host, f"its image is {'pulled' if change.verb != REMOVE else 'dropped'}; nobody notices"
            )
    found.tell(proxies)
    return joined("proxy on", "proxies on", texts)
