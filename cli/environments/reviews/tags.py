"""The tags of stacks: in a file backend from their files, in any other from the CLI."""

import json

from cli.stack.backend import Backend
from cli.stack.pulumi_command import PulumiCommand
from cli.stack.stack import Stack

SUFFIX = ".pulumi-tags"
"""The end of the name of the file that a file backend has beside a stack's state."""


def in_directory(backend: Backend, project: str, stack: str) -> dict[str, str]:
    """The tags of a stack in a file backend; none for one without tags.

    Args:
        backend: a backend with a directory.
        project: the project's name.
        stack: the stack's name without an organization.

    """
    assert backend.directory is not None  # noqa: S101 - for the type checker
    path = backend.directory / ".pulumi" / "stacks" / project / f"{stack}{SUFFIX}"
    try:
        tags = json.loads(path.read_text(encoding="utf-8"))["tags"]
        return {str(name): str(value) for name, value in tags.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def by_pulumi(pulumi: PulumiCommand, stack: str) -> dict[str, str]:
    """The tags of a stack in any backend.

    Args:
        pulumi: the CLI.
        stack: the stack's name with its organization.

    """
    tags = json.loads(pulumi.read("stack", "tag", "ls", "--json", "--stack", stack) or "{}")
    return {str(name): str(value) for name, value in (tags or {}).items()}


def set_tag(stack: Stack, name: str, value: str) -> None:
    """Give a stack a tag."""
    stack.pulumi.read("stack", "tag", "set", name, value, "--stack", stack.name)
