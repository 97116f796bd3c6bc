"""The sentences about the registry and its data, and about certificates."""

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
    hosts_of,
)
from cli.screen.subjects import Part


def about_registry(found: Changes) -> list[Sentence]:
    """What happens to the registry, its data, and log-ins to an external one."""
    container = found.of(Part.REGISTRY)
    settings = found.of(Part.REGISTRY_SETTINGS)
    logins, data = found.of(Part.REGISTRY_LOGIN), found.of(Part.REGISTRY_DATA)
    found.tell([*container, *settings, *logins, *data, *found.of(Part.REGISTRY_ANSWERS)])
    runs = [change for change in container if change.step.type.endswith("Container")]
    verbs = {change.verb for change in runs or container}
    renewed = "the registry" in found.renewed
    told = []
    # An older version's registry is replaced, and gets a proxy before it.
    if verbs == {MAKE}:
        told.append(Sentence("registry", "made"))
    elif REMOVE in verbs:
        told.append(
            Sentence("registry", "removed; pushes and pulls fail, containers run on", Notice.FAILURES)
        )
    elif verbs:
        told.append(
            Sentence("registry", "restarted; pushes and pulls wait about a second", Notice.RESTART, 1)
        )
    elif renewed and settings:
        told.append(Sentence("registry", "takes its new certificate; nobody notices"))
    elif any(change.verb == CHANGE for change in settings):
        told.append(
            Sentence(
                "registry",
                "settings put in place; nobody notices new accounts and rights, and for other settings it restarts: "
                "pushes and pulls wait about a second",
                Notice.RESTART,
                1,
            )
        )
    elif settings or found.of(Part.REGISTRY_ANSWERS):
        told.append(Sentence("registry", "set up again and asked for an answer; nobody notices"))
    if logins:
        verb = "log-in is removed" if logins[0].verb == REMOVE else "log-in is tried"
        told.append(Sentence("external registry", f"{verb} on {hosts_of(logins)}; nobody notices"))
    return [
        *told,
        *(Sentence(_data_name(change), _data_text(change), _data_notice(change)) for change in data),
    ]


def about_certificates(found: Changes) -> list[Sentence]:
    """Which certificates and authorities are made, renewed and removed."""
    told = []
    every = found.of(Part.CERTIFICATE)
    found.tell(every)
    for verb, text in ((MAKE, "made"), (REPLACE, "renewed"), (CHANGE, "renewed"), (REMOVE, "removed")):
        owners = sorted({change.subject.of for change in every if change.verb == verb})
        if owners:
            about = f"certificate of {owners[0]}" if len(owners) == 1 else "certificates"
            names = "" if len(owners) == 1 else f": {', '.join(owners)}"
            told.append(Sentence(about, f"{text}{names}"))
    authorities = found.of(Part.AUTHORITY)
    found.tell(authorities)
    texts = {
        MAKE: "made",
        REPLACE: "made anew: clients have to trust the new one",
        CHANGE: "changed in place",
        REMOVE: "removed: no host trusts it any more",
    }
    told += [
        Sentence(name, text, Notice.FAILURES if verb == REPLACE else Notice.NOBODY)
        for verb, text in texts.items()
        for name in sorted({change.subject.of for change in authorities if change.verb == verb})
    ]
    return told


def _data_name(change: Change) -> str:
    return f"registry's data ({change.step.name})"


def _data_notice(change: Change) -> Notice:
    if change.verb not in {REMOVE, REPLACE}:
        return Notice.NOBODY
    if not change.step.type.endswith("Volume"):
        return Notice.FAILURES  # the registry is without its data meanwhile
    if change.step.retained:
        return Notice.NOBODY if change.verb == REMOVE else Notice.FAILURES
    return Notice.LOSS


def _data_text(change: Change) -> str:
    if change.step.type.endswith(("Volume",)):
        if change.verb == REMOVE:
            return "kept" if change.step.retained else "deleted, with every image in the registry"
        if change.verb == REPLACE:
            return "kept; a new volume is made" if change.step.retained else "made anew: every image is lost"
        return "made" if change.verb == MAKE else f"changed in place{details(change)}; nobody notices"
    return f"{WORDS[change.verb]}{details(change)}"
