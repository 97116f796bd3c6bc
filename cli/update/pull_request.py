"""What a preview leaves for a pull request: its comment, its plan, and what both need from git and the registry."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cli import console
from cli.errors import CommandError
from cli.forge.address import PullRequest, pull_request
from cli.forge.client import post
from cli.running.registry_api import RegistryApi
from cli.running.stack import Failed, RunningStack, running_of
from cli.screen.comment.comment import LIMITS, Preview, comment, failed
from cli.screen.comment.images import NewImage, new_images, pushed_images
from cli.screen.record import Record
from cli.stack.history import commits_between
from cli.stack.stack import Stack
from cli.update import plan as plans
from cli.update import policy
from cli.update.plan import Image, Plan


@dataclass(frozen=True)
class Wanted:
    """What a preview is to leave."""

    comment: bool = False
    """Print the comment."""
    post: bool = False
    """Write it, or update it, on the forge."""
    address: str = ""
    """The pull request's address; empty to find it in CI's environment."""
    save: str = ""
    """The file for the plan; empty for none."""
    issue: bool = False
    """Keep the forge's issue of the stack's drift."""

    @property
    def is_comment(self) -> bool:
        """Whether there is a comment, so that standard output is for it."""
        return self.comment or self.post


class Forge:
    """The pull request to comment on, with its token, which no child process gets."""

    def __init__(self, wanted: Wanted) -> None:
        """Find the pull request, and take the token out of the environment.

        Raises:
            CommandError: there is no pull request, or no token.

        """
        self._at: PullRequest | None = pull_request(os.environ, wanted.address) if wanted.post else None
        if self._at:
            for name in self._at.token_variables:
                os.environ.pop(name, None)

    @property
    def limit(self) -> int:
        """How long the comment may be."""
        return LIMITS[self._at.kind if self._at else "github"]

    def post(self, text: str) -> None:
        """Write the comment, or update it."""
        if self._at:
            console.say(f"The comment: {post(self._at, text)}")

    def say_failed(self, project: str, stack: str) -> None:
        """Say that the preview failed in place of an older comment, which is no longer true."""
        self.post(failed(project, stack))


def plan_of(stack: Stack, record: Record, options: Sequence[str], differences: Sequence[str]) -> Plan:
    """The plan of a preview."""
    return plans.plan_of(
        record,
        project=stack.project,
        stack=stack.short_name,
        configuration=stack.config.content,
        options=options,
        images=_in_registry(stack, pushed_images(record)),
        differences=differences,
    )


def _in_registry(stack: Stack, tags: Mapping[str, str]) -> dict[str, Image]:
    """What the stack's registry has under each image's tag."""
    found = {name: Image(tag) for name, tag in tags.items()}
    try:
        running = running_of(stack) if stack.exists() else None
        endpoint = running.registry_endpoint if running else None
    except (CommandError, Failed):
        return found  # there is no registry yet
    if running is None or endpoint is None:
        return found
    prefix = _prefix(running)
    with RegistryApi(endpoint) as api, suppress(CommandError):
        for name, image in found.items():
            if answer := api.manifest(f"{prefix}{name}", image.tag):
                found[name] = replace(image, digest=answer[0])
    return found


def _prefix(running: RunningStack) -> str:
    """What stands ahead of the services' names in the registry's repositories."""
    for service in running.services:
        repository = running.repository(service)
        if repository.endswith(service):
            return repository.removesuffix(service)
    return ""


def comment_of(
    stack: Stack,
    record: Record,
    plan: Plan | None,
    differences: Sequence[str],
    limit: int,
) -> str:
    """The comment of a preview."""
    broken = policy.broken(record.steps)
    images = _with_commits(stack, new_images(record))
    if plan:
        images = [
            replace(image, digest=plan.images[image.name].digest) if image.name in plan.images else image
            for image in images
        ]
    return comment(
        Preview(
            stack.project.name,
            stack.short_name,
            f"./slip up{stack.option}",
            record,
            images,
            stack.config.region,
            differences,
            plan.hash if plan else "",
            refusals=[text for is_mandatory, text in broken if is_mandatory],
            advice=[text for is_mandatory, text in broken if not is_mandatory],
            batches=stack.config.batches,
        ),
        limit,
    )


def _with_commits(stack: Stack, images: Iterable[NewImage]) -> list[NewImage]:
    contexts = stack.config.contexts
    return [
        replace(
            image,
            commits=commits_between(
                stack.project.root, image.revision_before, image.revision, contexts.get(image.name, ".")
            ),
        )
        if image.revision and image.revision_before
        else image
        for image in images
    ]


def save(stack: Stack, plan: Plan, path: str) -> None:
    """Save the plan, and say its hash."""
    plans.save(stack.project, plan, Path(path))
    console.say(
        f"Plan {plan.hash}, in {path}. `./slip up{stack.option} --approved {plan.hash}` does this, or refuses."
    )
