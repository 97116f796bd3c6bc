"""The sentences about hosts and their proxies."""

from cli.screen.plan.changes import (
    CHANGE,
    MAKE,
    REMOVE,
    REPLACE,
    WORDS,
    Change,
    Changes,
    Effect,
    Notice,
    Sentence,
    joined,
)
from cli.screen.subjects import Part

_ON_HOST = (
    *(Part.HOST_IMAGES, Part.HOST_BOOT, Part.HOST_ADDRESS, Part.PROXY, Part.PULL),
    *(Part.HTTPS_PORT, Part.PUBLIC_PORT),
)
_OF_PROXY = {"visitors": "passwords and pages"} | {
    kind: kind for kind in ("backends", "certificates", "routes")
}
"""What a command of a proxy brings it, by the end of the command's name."""
STOPS_INSTANCE = frozenset({"instanceType", "userData", "userDataBase64", "ebsOptimized", "cpuOptions"})
"""Inputs of an EC2 instance whose change stops and starts it, by the provider's documentation of aws.ec2.Instance."""


def about_hosts(found: Changes) -> list[Sentence]:
    """What happens to hosts, with what belongs to a host that is made or removed."""
    texts: dict[str, Effect] = {}
    machines = found.hosts
    for host, change in machines.items():
        texts[host] = _machine(found, host, change)
    for change in found.of(Part.HOST_SETUP):
        host = change.subject.host
        if host in texts:
            continue
        if change.verb == CHANGE and f"{host}'s engine" in found.renewed:
            texts[host] = Effect(
                "set up again, and its engine restarts; containers run on, and DNS look-ups inside them fail for "
                "about a second",
                Notice.RESTART,
                1,
            )
        elif change.verb == CHANGE:
            texts[host] = Effect("set up again; containers run on, and nobody notices")
        elif change.verb == REMOVE:
            continue  # with its machine, or with what stood for it in a state that someone edited
        else:
            texts[host] = Effect("set up again from the beginning, with what is on it", Notice.HOST)
    told = found.of(Part.HOST) + [c for c in found.of(Part.HOST_SETUP) if c.subject.host in texts]
    # What belongs to a machine that is made or removed goes with it.
    whole = {host for host, change in machines.items() if change.verb != CHANGE}
    told += [
        change
        for change in found.of(*_ON_HOST)
        if change.subject.host in whole and change.verb in {machines[change.subject.host].verb, REPLACE}
    ]
    told += [c for c in found.of(Part.CONNECTION) if c.subject.of in whole]
    found.tell(told)
    return joined("host", "hosts", texts)


def _machine(found: Changes, host: str, change: Change) -> Effect:
    services = sorted(
        {c.subject.of for c in found.of(Part.CONTAINER) if c.subject.host == host and c.verb != MAKE}
        | {about.of for about in found.unchanged if about.part is Part.CONTAINER and about.host == host}
    )
    has_registry = any(c.verb in {REPLACE, REMOVE} for c in found.of(Part.REGISTRY)) and not services
    on_it = ", ".join(services)
    match change.verb:
        case "make":
            return Effect("made")
        case "remove" if services:
            return Effect(f"removed, with its containers; {on_it} no longer answers there", Notice.HOST)
        case "remove":
            return Effect("removed, with its containers", Notice.HOST)
        case "replace":
            why = f" (for: {', '.join(sorted(change.step.replacing))})" if change.step.replacing else ""
            effect = (
                f"{on_it} on it starts anew; its URL there does not answer until then"
                if services
                else "pushes and pulls wait until it is back; the images stay"
                if has_registry
                else "what is on it starts anew"
            )
            return Effect(f"made anew{why}; {effect}", Notice.HOST)
    stops = change.step.changed & STOPS_INSTANCE if "Instance" in change.step.type else frozenset()
    what = ", ".join(sorted(change.step.changed)) or "settings"
    if stops:
        return Effect(
            f"stopped and started again (for: {what}); what is on it does not answer for about a minute",
            Notice.FAILURES,
            60,
        )
    return Effect(f"changed in place ({what}); nobody notices")


def about_proxies(found: Changes) -> list[Sentence]:
    """What happens to the proxies of hosts that stay."""
    texts: dict[str, Effect] = {}
    proxies = [change for change in found.rest if change.subject.part is Part.PROXY]
    for change in proxies:
        host, kind = change.subject.host, change.subject.of
        if kind == "Container" and change.verb in {REPLACE, CHANGE}:
            texts[host] = Effect(
                "restarted; services on that host do not answer for about two seconds", Notice.RESTART, 2
            )
        elif kind == "Container":
            stops = change.verb == REMOVE
            texts[host] = Effect(WORDS[change.verb], Notice.FAILURES if stops else Notice.NOBODY)
        elif kind == "Command":
            what = _OF_PROXY.get(change.step.name.removeprefix(f"{host}-"), "files")
            texts.setdefault(host, Effect(f"its {what} are {WORDS[change.verb]}; nobody notices"))
        elif kind != "RemoteImage":
            texts.setdefault(host, Effect(f"its {kind.lower()} is {WORDS[change.verb]}"))
        else:
            what = "pulled" if change.verb != REMOVE else "dropped"
            texts.setdefault(host, Effect(f"its image is {what}; nobody notices"))
    found.tell(proxies)
    return joined("proxy on", "proxies on", texts)
