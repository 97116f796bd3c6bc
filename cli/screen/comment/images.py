"""The images that a preview builds: what runs now, what comes, and the commits between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.screen.comment.markdown import code, folded
from cli.screen.events import SECRET, UNKNOWN
from cli.screen.plan.changes import REMOVE, changes
from cli.screen.record import STACK_TYPE, Record
from cli.screen.subjects import Part, subject
from cli.stack.history import Commit
from cli.text import short_digest, short_revision


@dataclass(frozen=True)
class NewImage:
    """An image that changes."""

    name: str
    """Its repository's name: the service's, or its base image's."""
    tag: str = ""
    """The new tag, which follows the content."""
    digest_before: str = ""
    """The digest of what was pushed last; empty without one."""
    digest: str = ""
    """The digest that the registry has for the new tag already; empty if it has none, so that the update builds it."""
    revision: str = ""
    """The commit of the new content; empty if git does not track it."""
    revision_before: str = ""
    commits: Sequence[Commit] | None = field(default=None)
    """The commits between both that changed the content, the newest first; None if this clone cannot know."""


def new_images(record: Record) -> list[NewImage]:
    """The images that a preview builds, without their commits."""
    old, new = _revisions(record)
    found: list[NewImage] = []
    for change in changes(record.steps):
        if change.subject.part is not Part.IMAGE or change.verb == REMOVE:
            continue
        step, name = change.step, change.subject.of
        tag, before = _tag(step.after), _tag(step.before)
        known = {**old.get(name, {}), **new.get(name, {})}
        found.append(
            NewImage(
                name,
                tag,
                str(step.outputs_before.get("repoDigest") or "").partition("@")[2],
                revision=known.get(tag, ""),
                revision_before=known.get(before, ""),
            )
        )
    return sorted(found, key=lambda image: image.name)


def pushed_images(record: Record) -> dict[str, str]:
    """The tag of each image that the stack is to have, by the image's name, changed or not."""
    found = {}
    for step in record.steps:
        about = subject(step)
        if about.part is Part.IMAGE and (tag := _tag(step.after)):
            found[about.of] = tag
    return found


def _tag(inputs: Mapping[str, Any]) -> str:
    reference = str(inputs.get("imageName") or "")
    return "" if reference in {SECRET, UNKNOWN} else reference.rpartition("/")[2].partition(":")[2]


def _revisions(record: Record) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """The commit of each tag by image, of the last update and of this preview, from the stack's outputs."""
    found: list[dict[str, dict[str, str]]] = [{}, {}]
    for step in (*record.steps, *record.done):
        if step.type == STACK_TYPE:
            for number, outputs in enumerate((step.outputs_before, step.outputs_after)):
                found[number].update(_of_outputs(outputs))
    return found[0], found[1]


def _of_outputs(outputs: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    recorded = outputs.get("revisions")
    if not isinstance(recorded, Mapping):
        return {}
    return {
        str(name): {
            str(one.get("tag")): str(one.get("revision") or "") for one in tags if isinstance(one, Mapping)
        }
        for name, tags in recorded.items()
        if isinstance(tags, list)
    }


def described_images(images: Sequence[NewImage], *, most: int) -> list[str]:
    """A line for each image, and its commits, of which at most `most` are listed."""
    lines = []
    for image in images:
        before = code(short_digest(image.digest_before)) if image.digest_before else "none"
        after = (
            f"{code(short_digest(image.digest))}, which the registry has"
            if image.digest
            else "built by the update"
        )
        tag = f", tag {code(image.tag)}" if image.tag else ""
        lines.append(f"- {code(image.name)}: {before} → {after}{tag}{_source(image)}")
    for image in images:
        if image.commits:
            listed = [f"- {code(one.revision[:12])} {code(one.subject)}" for one in image.commits[:most]]
            if len(image.commits) > most:
                listed.append(f"- and {len(image.commits) - most} more")
            number = "1 commit" if len(image.commits) == 1 else f"{len(image.commits)} commits"
            lines += ["", *folded(f"{number} in {image.name}", listed)]
    return lines


def _source(image: NewImage) -> str:
    if not image.revision:
        return ", from files that git does not track"
    new, old = code(short_revision(image.revision)), code(short_revision(image.revision_before))
    if not image.revision_before:
        return f", from commit {new}"
    unknown = "; the commits between them are not in this clone" if image.commits is None else ""
    return f", from commit {old} to {new}{unknown}"
