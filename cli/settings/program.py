"""What the program makes of a stack's file. It runs as a process, since its libraries are slow to import."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import child_environment
from cli.errors import CommandError
from cli.stack.project import Project


@dataclass(frozen=True)
class Problem:
    """A mistake in a stack's file."""

    path: str
    """The setting, in the notation of `pulumi config set --path`."""
    text: str
    """The setting, its value, what is wrong, and what to write instead."""


@dataclass(frozen=True)
class InForce:
    """A stack's file as the program reads it."""

    problems: tuple[Problem, ...] = ()
    settings: Mapping[str, Any] | None = None
    """Every setting, given or default; None with mistakes."""
    derived: Mapping[str, Any] = field(default_factory=dict)
    """By path, the value of a setting that is not given and follows from others."""


def in_force(project: Project, stack: str, text: str) -> InForce:
    """What the program makes of the text of a stack's file. It takes half a second.

    Args:
        project: the clone.
        stack: the stack's name without an organization.
        text: the file's text. It has to be YAML.

    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "configuration.in_force", stack, str(project.root)],
        cwd=project.root,
        env={**child_environment.of("configuration"), "PYTHONPATH": str(Project.here().root)},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        raise CommandError(f"the settings of '{stack}' could not be checked: {reason}", status=1)
    said = json.loads(done.stdout)
    return InForce(
        tuple(Problem(each["path"], each["text"]) for each in said["problems"]),
        said["settings"],
        said["derived"],
    )
