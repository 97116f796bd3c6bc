"""The program's virtual environment: `.venv`, as Pulumi.yaml names it, for `slip` and for plain `pulumi` alike."""

import contextlib
import os
import re
import sys
from pathlib import Path

from cli.errors import CommandError

NAME = ".venv"
"""What Pulumi.yaml names: Pulumi's Python host runs the program in this folder's environment."""


def provide(root: Path, environment: Path = Path(sys.prefix)) -> None:
    """Let the program run in the environment of this process, unless there is one that `pulumi install` made.

    Args:
        root: the project's folder. `.venv` in it becomes a link to the environment.
        environment: the environment.

    Raises:
        CommandError: `.venv` is no link, and lacks some of what the program needs.

    """
    path = root / NAME
    if path.is_symlink() or not path.exists():
        if not path.is_symlink() or path.readlink() != environment:
            _link(path, environment)
    elif lacking := _lacking(root, path):
        raise CommandError(
            f"{path} lacks {', '.join(lacking)} of requirements.txt",
            f"Run `pulumi install` to complete it; or remove it with `rm -r {NAME}`, and `slip` provides one.",
        )


def _link(path: Path, environment: Path) -> None:
    """Make or replace the link in one step: other commands may look at the same time."""
    new = path.with_name(f"{NAME}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(environment)
    new.replace(path)


def _lacking(root: Path, path: Path) -> list[str]:
    """The requirements that a virtual environment does not meet, as requirements.txt writes them."""
    # Its import takes 20 ms of every command, and few clones have an environment of their own.
    from importlib.metadata import distributions

    folders = [str(folder) for folder in path.glob("lib/python*/site-packages")]
    there = {f"{_name(one.name)}=={one.version}" for one in distributions(path=folders)}
    lines = [line.partition("#")[0].strip() for line in (root / "requirements.txt").read_text().splitlines()]
    return [
        line
        for line in lines
        if line and f"{_name(line.partition('==')[0])}=={line.partition('==')[2]}" not in there
    ]


def _name(name: str) -> str:
    """A distribution's name in the form in which names are compared (packaging specifications, name normalization)."""
    return re.sub(r"[-_.]+", "-", name).lower()
