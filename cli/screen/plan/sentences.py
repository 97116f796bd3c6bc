"""Every sentence about a preview, and its totals."""

from collections.abc import Iterable, Mapping, Sequence

from batches import Batches
from cli.screen.events import Step
from cli.screen.plan.changes import (
    CHANGE,
    MAKE,
    REMOVE,
    REPLACE,
    WORDS,
    Change,
    Changes,
    Notice,
    Sentence,
    details,
)
from cli.screen.plan.hosts import about_hosts, about_proxies
from cli.screen.plan.registry import about_certificates, about_registry
from cli.screen.plan.services import about_services
from cli.screen.subjects import Part, subject

SMALL = (
    Part.KEY,
    Part.CONNECTION,
    Part.MARKER,
    Part.VOLUME,
    Part.NETWORK,
    Part.PULL,
    Part.SECRETS,
    Part.FILES,
    Part.BACKUP,
    Part.HOST_IMAGE,
    Part.HOST_BOOT,
    Part.HOST_IMAGES,
    Part.HOST_ADDRESS,
    Part.HEALTH_CHECK,
    Part.RECORD,
)
"""Parts that no one outside notices. They are told by number and name."""
PORTS = (Part.HTTPS_PORT, Part.PUBLIC_PORT)
"""Containers beside a local host, which publish a port of it."""
_LISTED = {Part.FIREWALL: "firewall", Part.SNAPSHOTS: "snapshots"}
"""Parts that are told by name, with what the sentence is about."""
FEW = 2
"""How many small things of a kind are named."""

_TOTALS = (
    ("make", ("create", "import")),
    ("change", ("update",)),
    ("replace", ("replace",)),
    ("remove", ("delete",)),
)


def sentences(steps: Sequence[Step], batches: Mapping[str, Batches] | None = None) -> list[Sentence]:
    """What happens to whom. Equal things that happen to several are one sentence.

    Args:
        steps: the steps of a preview.
        batches: in which batches hosts get a version, by service; for the others one after another.

    """
    found = Changes(steps)
    return [
        *about_hosts(found),
        *about_registry(found),
        *about_certificates(found),
        *about_proxies(found),
        *about_services(found, batches or {}),
        *_about_the_rest(found),
    ]


def _about_the_rest(found: Changes) -> list[Sentence]:
    """What no sentence was about: small things by number and name, and unknown ones by type and name."""
    rest = found.rest
    told = []
    copies = [change for change in rest if change.subject.part is Part.MIRROR]
    for change in copies:
        text = "copied into the registry" if change.verb != REMOVE else "no longer copied"
        told.append(Sentence(f"copy of {change.subject.of}", f"{text}; nobody notices"))
    for part, about in _LISTED.items():
        mine = [change for change in rest if change.subject.part is part]
        told += [Sentence(about, text, _of_rules(part, verb)) for verb, text in _listed(mine)]
    ports = [change for change in rest if change.subject.part in PORTS]
    told += [
        Sentence(
            str(change.subject),
            _OF_PORTS[change.verb],
            Notice.NOBODY if change.verb == MAKE else Notice.FAILURES,
        )
        for change in ports
    ]
    for verb, word in WORDS.items():
        small = [change for change in rest if change.subject.part in SMALL and change.verb == verb]
        if small:
            told.append(
                Sentence(f"also {word}", counted(small), max(_of_small(change, found) for change in small))
            )
    known = {Part.MIRROR, *_LISTED, *PORTS, *SMALL}
    others = [change for change in rest if change.subject.part not in known]
    told += [
        Sentence(
            str(change.subject),
            f"{_named(change)}{WORDS[change.verb]}{details(change)}",
            _of_unknown(change),
        )
        for change in others
    ]
    found.tell(rest)
    return told


def _named(change: Change) -> str:
    """The part of a subject that no sentence is about by its own name."""
    return "" if change.subject.part is Part.OTHER else f"{change.subject.part.value} "


_OF_PORTS = {
    MAKE: "opened on this machine",
    CHANGE: "changed; it may not answer for about a second",
    REPLACE: "opened anew; it does not answer for about a second",
    REMOVE: "closed",
}


def _of_rules(part: Part, verb: str) -> Notice:
    """Who came in by a rule of the firewall that goes, comes in no longer."""
    return Notice.FAILURES if part is Part.FIREWALL and verb != MAKE else Notice.NOBODY


def _of_small(change: Change, found: Changes) -> Notice:
    """Small things go unnoticed, but for what carries traffic or data of a host that stays."""
    if change.verb not in {REMOVE, REPLACE}:
        return Notice.NOBODY
    if change.subject.part in {Part.NETWORK, Part.RECORD}:
        return Notice.FAILURES
    if change.subject.part is Part.HOST_ADDRESS and change.subject.host not in found.hosts:
        return Notice.FAILURES
    if change.subject.part is Part.VOLUME and not change.step.retained:
        # The volumes of hosts have nothing that an update does not bring back; their host is told.
        return Notice.NOBODY if any(host in change.step.name for host in found.hosts) else Notice.LOSS
    return Notice.NOBODY


_HOLDS_DATA = ("Volume", "Bucket", "BucketV2", "Database", "Cluster", "FileSystem", "Table")
"""Ends of the types' names whose resources usually hold data."""


def _of_unknown(change: Change) -> Notice:
    """A resource of the user's own: the worst that its type and its verb allow."""
    if change.verb == MAKE:
        return Notice.NOBODY
    if change.verb == CHANGE:
        return Notice.FAILURES
    holds = change.step.type.endswith(_HOLDS_DATA) and not change.step.retained
    return Notice.LOSS if holds else Notice.FAILURES


def about_gone(steps: Iterable[Step]) -> list[Sentence]:
    """What a refresh did not find any more: someone removed it by hand."""
    return [
        Sentence(
            str(subject(step)),
            f"gone, by hand ({step.type.rpartition(':')[2]} {step.name})",
            _GONE.get(subject(step).part, Notice.NOBODY),
        )
        for step in steps
    ]


_GONE = {
    Part.HOST: Notice.HOST,
    Part.REGISTRY_DATA: Notice.LOSS,
    Part.REGISTRY: Notice.FAILURES,
    Part.PROXY: Notice.FAILURES,
    Part.CONTAINER: Notice.FAILURES,
    Part.RECORD: Notice.FAILURES,
    Part.OTHER: Notice.FAILURES,
}
"""What someone notices already of a thing that is gone."""


def totals(counts: Mapping[str, int]) -> str:
    """How many resources a preview makes, changes, replaces, removes and leaves."""
    parts = [
        f"{number} to {verb}" for verb, names in _TOTALS if (number := sum(counts.get(n, 0) for n in names))
    ]
    same = counts.get("same", 0)
    if not parts:
        return f"Nothing would change: {same} resources are as configured."
    rest = f"; {same} stay as they are" if same else ""
    return f"{', '.join(parts)}{rest}."


def _listed(changes: Iterable[Change]) -> list[tuple[str, str]]:
    """Each verb, and `made: a, b` of it."""
    by_verb: dict[str, list[str]] = {}
    for change in changes:
        by_verb.setdefault(change.verb, []).append(change.step.name)
    return [(verb, f"{WORDS[verb]}: {', '.join(names)}") for verb, names in by_verb.items()]


def counted(changes: Iterable[Change]) -> str:
    """Small things by name or, where there are many of a kind, by number: `16 keys, network slipway-local`."""
    by_part: dict[Part, list[str]] = {}
    for change in changes:
        by_part.setdefault(change.subject.part, []).append(change.step.name)
    return ", ".join(
        f"{len(names)} {part.value}s" if len(names) > FEW else f"{part.value} {', '.join(names)}"
        for part, names in by_part.items()
    )
