"""The sentences about services and their images."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from batches import Batches
from cli.screen.events import Step
from cli.screen.plan.changes import CHANGE, MAKE, REMOVE, REPLACE, Change, Changes, Notice, Sentence, hosts_of
from cli.screen.subjects import Part
from well_known import TEMPLATE_LABEL

SETTINGS = {
    "envs": "environment",
    "uploads": "secrets",
    "memory": "memory",
    "capabilities": "capabilities",
    "readOnly": "files that cannot be changed",
    "tmpfs": "files that cannot be changed",
    "labels": "labels",
    "ulimits": "limits",
    "networksAdvanced": "network",
    "logOpts": "logging",
    "logDriver": "logging",
    "stopTimeout": "stop timeout",
    "healthcheck": "health check",
    "ports": "ports",
    "volumes": "volumes or files",
    "command": "command",
    "entrypoints": "entrypoint",
    "hosts": "names of other services",
    "shmSize": "shared memory",
}
"""Inputs of a container, as the configuration speaks of them."""
SECRETS_TARGET = "/run/secrets"
"""Where a container has its secrets: a folder of the host, another one for other values."""


def about_services(found: Changes, batches: Mapping[str, Batches]) -> list[Sentence]:
    """What happens to each service; `batches` are those in which hosts get a version, by service."""
    names = dict.fromkeys(
        [c.step.parent_name for c in found.of(Part.IMAGE)]
        + [c.subject.of for c in found.of(Part.CONTAINER, Part.SWITCH, Part.RELEASE, Part.PULL)]
    )
    told = []
    for name in names:
        told += _about_service(found, name, batches.get(name))
    return told


def _about_service(found: Changes, name: str, batches: Batches | None) -> list[Sentence]:
    images = [c for c in found.of(Part.IMAGE) if c.step.parent_name == name]
    mine = [c for c in found.of(Part.CONTAINER, Part.SWITCH, Part.RELEASE, Part.PULL) if c.subject.of == name]
    found.tell([*images, *mine])
    containers = [c for c in mine if c.subject.part is Part.CONTAINER]
    if containers:
        found.tell(c for c in found.of(Part.SECRETS, Part.FILES) if c.subject.of == name)
    by_verb: dict[str, list[Change]] = {}
    for change in containers:
        machine = found.hosts.get(change.subject.host)
        with_host = bool(machine and machine.verb == REPLACE)
        verb = MAKE if change.verb == REPLACE and with_host else change.verb
        by_verb.setdefault(verb, []).append(change)
    stays = [about for about in found.unchanged if about.part is Part.CONTAINER and about.of == name]
    is_new = bool(by_verb.get(MAKE)) and not (stays or by_verb.keys() - {MAKE})
    texts = []
    gone = interrupted = ""
    rolled = by_verb.get(REPLACE, [])
    if made := by_verb.get(MAKE):
        first = any(image.verb == MAKE for image in images)
        image = "image built and pushed, " if first else "new image, " if images else ""
        texts.append(f"{image}started on {hosts_of(made)}" if is_new else f"started on {hosts_of(made)}")
    if rolled:
        away = [change for change in rolled if stops_first(change)]
        if beside := [change for change in rolled if change not in away]:
            hosts = batches.described(_places(beside)) if batches else hosts_of(beside)
            texts.append(f"{_why(beside, images)}, rolled over {hosts}; nobody notices")
        if away:
            interrupted = (
                f"{_why(away, images)}; the old version is stopped first on {hosts_of(away)}, since two must not write "
                "to one volume or have one port: away for seconds, and back by itself if the new one fails"
            )
            texts.append(interrupted)
    if changed := by_verb.get(CHANGE):
        what = _words(set().union(*(c.step.changed for c in changed)))
        texts.append(f"changed in place on {hosts_of(changed)} ({what}); nobody notices")
    if removed := by_verb.get(REMOVE):
        end = "" if stays or rolled or made else "; its URLs no longer answer"
        gone = f"removed from {hosts_of(removed)}{end}"
        texts.append(gone)
    if not texts and images:
        texts.append(
            f"image {' and '.join(c.subject.of for c in images)}: {_image_text(images)}; nobody notices"
        )
    switched = [c for c in mine if c.subject.part is Part.SWITCH]
    if not containers and switched:
        texts.append(
            f"checked and routed again on {hosts_of(switched)}, for changed settings; nobody notices"
        )
    pulled = [c for c in mine if c.subject.part is Part.PULL]
    if not containers and not switched and pulled:
        texts.append(f"image pulled again on {hosts_of(pulled)}; nobody notices")
    released = [c for c in mine if c.subject.part is Part.RELEASE and c.verb != REMOVE]
    if released and is_new:
        texts.append("its release command runs before that")
    elif released and (images or any("image" in c.step.changed | c.step.replacing for c in rolled)):
        texts.append(
            "its release command runs before; the old version serves meanwhile, and stays if it fails"
        )
    elif released:
        texts.append("its release command runs before, unless it has run for this version")
    notices = {gone: Notice.FAILURES, interrupted: Notice.RESTART}
    return [Sentence(name, text, notices.get(text, Notice.NOBODY)) for text in texts]


def stops_first(change: Change) -> bool:
    """Whether the old container ends before the new one starts: one that writes to a volume, or has a port."""
    after = change.step.after
    labels = after.get("labels")
    if isinstance(labels, list) and any(
        isinstance(one, dict) and one.get("label") == TEMPLATE_LABEL for one in labels
    ):
        return False  # a job, whose container never runs itself
    volumes = after.get("volumes")
    writes = isinstance(volumes, list) and any(
        isinstance(volume, dict) and not volume.get("readOnly") for volume in volumes
    )
    return writes or bool(after.get("ports"))


def _places(changes: Collection[Change]) -> set[str]:
    return {change.subject.host for change in changes}


def _why(rolled: Collection[Change], images: Collection[Change]) -> str:
    """Why containers are replaced: a new image, or settings."""
    inputs = set().union(*(_inputs(change.step) for change in rolled))
    settings = inputs - {"image"}
    if images or "image" in inputs or not inputs:
        return f"new image and settings ({_words(settings)})" if settings else "new image"
    return f"new settings ({_words(settings)})"


def _inputs(step: Step) -> set[str]:
    """The inputs that differ; `secrets` for the volume that holds them."""
    inputs = set(step.changed | step.replacing)
    before, after = (_volumes(state) for state in (step.before, step.after))
    if "volumes" in inputs and before.get(SECRETS_TARGET) != after.get(SECRETS_TARGET):
        inputs.add("secrets")
        if {**before, SECRETS_TARGET: None} == {**after, SECRETS_TARGET: None}:
            inputs.remove("volumes")
    return inputs


def _volumes(state: Mapping[str, Any]) -> dict[str, Any]:
    """A container's volumes, by their places in it."""
    volumes = state.get("volumes")
    if not isinstance(volumes, list):
        return {}
    return {volume.get("containerPath", ""): volume for volume in volumes if isinstance(volume, dict)}


def _words(inputs: Iterable[str]) -> str:
    return ", ".join(sorted({SETTINGS.get(name, name) for name in inputs})) or "settings"


def _image_text(images: Collection[Change]) -> str:
    return "removed" if all(c.verb == REMOVE for c in images) else "built and pushed"
