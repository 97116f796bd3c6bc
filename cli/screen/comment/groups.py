"""The changes of a preview by what they belong to: a service, a host, the registry, certificates."""

from cli.screen.comment.markdown import code, folded, prose
from cli.screen.comment.properties import changed_properties
from cli.screen.plan.changes import CHANGE, REPLACE, WORDS, Change
from cli.screen.plan.sentences import counted
from cli.screen.subjects import Part

_OF_HOSTS = {
    *(Part.HOST, Part.HOST_BOOT, Part.HOST_SETUP, Part.HOST_IMAGES, Part.HOST_ADDRESS, Part.PROXY),
    *(Part.HTTPS_PORT, Part.PUBLIC_PORT),
}
_OF_REGISTRY = {
    *(Part.REGISTRY, Part.REGISTRY_SETTINGS, Part.REGISTRY_ANSWERS, Part.REGISTRY_DATA),
    *(Part.REGISTRY_LOGIN, Part.MIRROR, Part.SNAPSHOTS),
}
_OF_SERVICES = {Part.CONTAINER, Part.SWITCH, Part.RELEASE, Part.PULL, Part.SECRETS, Part.FILES}
_ORDER = ("service", "host", "registry", "certificates", "network", "other")


def grouped(changes: list[Change]) -> dict[tuple[str, str], list[Change]]:
    """The changes by the kind and the name of their group, services first."""
    found: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        found.setdefault(_group(change), []).append(change)
    groups = sorted(found.items(), key=lambda item: (_ORDER.index(item[0][0]), item[0][1]))
    # The engine's own order changes from run to run.
    return {group: sorted(mine, key=lambda one: (one.step.name, one.step.urn)) for group, mine in groups}


def _group(change: Change) -> tuple[str, str]:
    about = change.subject
    if about.part in _OF_SERVICES:
        return "service", about.of
    if about.part is Part.IMAGE:
        return "service", change.step.parent_name or about.of
    if about.part in _OF_HOSTS:
        return "host", about.host
    if about.part is Part.CONNECTION and change.step.name.endswith("-docker"):
        return "host", about.of
    if about.part in _OF_REGISTRY:
        return "registry", ""
    if about.part in {Part.CERTIFICATE, Part.AUTHORITY, Part.KEY}:
        return "certificates", ""
    if about.part in {Part.NETWORK, Part.FIREWALL}:
        return "network", ""
    return "other", ""


def described_group(group: tuple[str, str], changes: list[Change], *, values: bool, rows: bool) -> list[str]:
    """A folded part for a group: each resource with what changes of it, or only how many of a kind."""
    kind, name = group
    counts: dict[str, list[Change]] = {}
    for change in changes:
        counts.setdefault(change.verb, []).append(change)
    summary = ", ".join(f"{len(found)} {WORDS[verb]}" for verb, found in counts.items())
    title = f"{kind} {name}: {summary}" if name else f"{kind}: {summary}"
    if rows:
        return folded(title, [_row(change, values=values) for change in changes])
    return folded(title, [f"- {WORDS[verb]}: {prose(counted(found))}" for verb, found in counts.items()])


def _row(change: Change, *, values: bool) -> str:
    about, step = change.subject, change.step
    what = f"{about.part.value}, {code(step.name)}" if about.part is not Part.OTHER else _unknown(change)
    if change.verb not in {CHANGE, REPLACE}:
        kept = "; the real one is kept" if step.retained else ""
        return f"- {WORDS[change.verb]}: {what}{kept}"
    properties = "; ".join(changed_properties(step, values=values))
    return f"- {WORDS[change.verb]}: {what}" + (f": {properties}" if properties else "")


def _unknown(change: Change) -> str:
    return f"{code(change.step.type)} {code(change.step.name)}"
