"""The commits that the images were built from, kept beside the images.

A commit in an image would make it another image: in a shallow clone, in an exported tree, and after a commit that
changes nothing of the context. So the stack's outputs record which tag had which commit, once for each tag.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import pulumi
from typing_extensions import TypedDict

from components.git import Repository
from configuration.resource_names import base_image

KEPT = 20
"""How many tags of an image are remembered."""


class Revision(TypedDict):
    """The commit of one tag."""

    tag: str
    revision: str


def revision_of(context: Path, project: Path) -> str:
    """A commit with the content of a context: the last one that changed it, as far as this clone's history goes.

    With `-dirty` if the working tree differs from it. Empty if git does not track the context.

    A context outside the repository, or in a nested one (a submodule, a clone), has no revision, since the nested
    repository's configuration could make git run commands. For the same reason `-dirty` ignores changed files inside
    a submodule of the context; another commit of the submodule counts.

    Args:
        context: the build context.
        project: the directory of the Pulumi project.
    """
    repository = Repository.of(project)
    path = repository.place_of(context) if repository else None
    if repository is None or path is None:
        return ""
    # Both commands run at the same time.
    last = repository.ask("log", "-1", "--format=%H", "--no-ext-diff", "--no-textconv", path=path)
    # Reading the files of a submodule would use the submodule's configuration.
    changes = repository.ask("status", "--porcelain", "--ignore-submodules=dirty", path=path)
    revision = last.answer()
    return f"{revision}-dirty" if changes.answer() and revision else revision


def revisions(
    previous: Mapping[str, object],
    images: Mapping[str, tuple[pulumi.Input[str], Path]],
    kept: Collection[str] = (),
) -> dict[str, pulumi.Output[Sequence[Revision]]]:
    """The commits of each image's last tags, the newest first.

    Args:
        previous: the stack's outputs of the last successful update.
        images: the tag and the context of each image, by the name of its repository.
        kept: the services whose images may not be built in this update; what is recorded of them stays.
    """
    recorded = previous.get("revisions")
    found: dict[str, pulumi.Output[Sequence[Revision]]] = {}
    for name, (tag, context) in images.items():
        with_tag = partial(_with_tag, _recorded(recorded, name), context)
        found[name] = pulumi.Output.from_input(tag).apply(with_tag)
    for name in (repository for service in kept for repository in (service, base_image(service))):
        if name not in found and (before := _recorded(recorded, name)):
            found[name] = pulumi.Output.from_input(before)
    return found


def _recorded(recorded: object, name: str) -> list[Revision]:
    found = recorded.get(name) if isinstance(recorded, Mapping) else None
    return [
        Revision(tag=str(one["tag"]), revision=str(one.get("revision", "")))
        for one in (found if isinstance(found, Sequence) else ())
        if isinstance(one, Mapping) and "tag" in one
    ]


def _with_tag(before: Sequence[Revision], context: Path, tag: str) -> Sequence[Revision]:
    """The list with a tag. One that is there keeps its commit: another clone may know another one."""
    if any(one["tag"] == tag for one in before):
        return before
    return [Revision(tag=tag, revision=revision_of(context, Path.cwd())), *before][:KEPT]
