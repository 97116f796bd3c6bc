"""What a person or a command line wants of a new stack: what is wrong with it, what is missing, and the questions."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli import console
from cli.environments.draft import FIRST_FILES
from cli.environments.stacks import exists
from cli.stack.backend import Backend
from cli.stack.config import StackConfig
from cli.stack.project import Project
from cli.stack.stack import LOCAL, LOCAL_STACK
from cli.stack.wanted import wanted
from stackfile.document import Document, UnreadableFile
from well_known import EMULATED

NAME = re.compile(r"(?:[A-Za-z0-9_][\w.-]*/){0,2}[A-Za-z0-9_][\w.-]{0,99}", re.ASCII)
"""Names that Pulumi accepts: at most 100 characters behind the organization."""
REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]+")


@dataclass(frozen=True)
class Wish:
    """What the command line says of a new stack. Empty for what it does not say."""

    name: str
    like: str = ""
    platform: str = ""
    region: str = ""
    admin_cidrs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clone:
    """The stacks that there are."""

    project: Project
    stacks: Mapping[str, Path] = field(default_factory=dict)
    """The file of each stack with a configuration, by name. `local` has its first one until it is made."""

    @classmethod
    def here(cls, project: Project) -> "Clone":
        """The stacks with a file in the clone."""
        files = {name: project.config_file(name) for name in project.stacks}
        return cls(project, {LOCAL: LOCAL_STACK, **files})

    def config(self, stack: str) -> StackConfig:
        """A stack's configuration."""
        return StackConfig.read(self.stacks[stack], self.project.name)

    def has(self, stack: str) -> bool:
        """Whether a stack has a file, also in a file system without capitals, or a state."""
        short = stack.rpartition("/")[2].lower()
        return short in {name.lower() for name in self.stacks} or self.has_state(stack)

    def has_state(self, stack: str) -> bool:
        """Whether the backend has the stack."""
        return exists(self.project, Backend.of(self.project, os.environ), stack.rpartition("/")[2])


def mistakes(clone: Clone, wish: Wish) -> list[str]:
    """What is wrong with what was said."""
    found = []
    if not NAME.fullmatch(wish.name):
        found.append(
            f"the name '{wish.name}': use letters, digits, hyphens, underscores and periods, at most 100, such as "
            "staging"
        )
    elif wish.name.endswith(EMULATED):
        found.append(f"the name '{wish.name}': names that end in {EMULATED} are those of emulated stacks")
    elif clone.has(wish.name):
        found.append(f"the name '{wish.name}': there is such a stack; `./slip stacks` lists them")
    if wish.like and wish.like not in clone.stacks:
        found.append(f"--like {wish.like}: no such stack; stacks here: {', '.join(sorted(clone.stacks))}")
    elif wish.like and (unreadable := _unreadable(clone, wish.like)):
        found.append(f"--like {wish.like}: {unreadable}")
    kind = platform(clone, wish)
    if wish.platform and wish.platform not in FIRST_FILES:
        found.append(f"--platform {wish.platform}: use local or aws")
    elif wish.platform and wish.platform != kind:
        found.append(
            f"--platform {wish.platform}: the stack {wish.like} is on the platform {kind}; leave out one of the "
            "two options"
        )
    if wish.region and not REGION.fullmatch(wish.region):
        found.append(f"--region {wish.region}: not a region of AWS; use one such as eu-central-1")
    if kind == "local":
        found += [
            f"{option}: the stack is on the platform local, which has none"
            for option, given in (("--region", wish.region), ("--admin-cidr", wish.admin_cidrs))
            if given
        ]
    return found


def _unreadable(clone: Clone, stack: str) -> str:
    try:
        Document.read(clone.stacks[stack])
    except UnreadableFile as error:
        return f"{clone.stacks[stack].name}, {error.mistakes[0]}"
    if wanted(clone.config(stack)) is None:
        option = "" if stack == LOCAL else f" -s {stack}"
        return f"its file has mistakes; `./slip preview{option}` tells them"
    return ""


def platform(clone: Clone, wish: Wish) -> str:
    """The platform as far as it is known: the one that was said, or that of the stack to be like."""
    return clone.config(wish.like).platform if wish.like in clone.stacks else wish.platform


def missing(clone: Clone, wish: Wish) -> list[str]:
    """What a stack needs and nobody said."""
    kind = platform(clone, wish)
    if not kind and not wish.like:
        stacks = ", ".join(sorted(clone.stacks))
        return [f"--platform local or --platform aws; or --like STACK, with one of {stacks}"]
    if kind != "aws":
        return []
    source = clone.config(wish.like) if wish.like in clone.stacks else None
    found = []
    if not (wish.region or (source and source.region)):
        found.append("--region REGION, such as eu-central-1")
    if not (wish.admin_cidrs or (source and source.setting("platform").get("adminCidrs"))):
        found.append(
            "--admin-cidr NETWORK, which may reach SSH and the engines: that of your office or VPN, such as your "
            "address/32"
        )
    return found


def asked(clone: Clone, wish: Wish) -> Wish:
    """What a person says of what is missing."""
    if not wish.like and not wish.platform:
        answer = console.ask(f"Like which stack ({', '.join(sorted(clone.stacks))}), or none?", "none")
        wish = replace(wish, like="" if answer == "none" else answer)
        if wish.like and wish.like not in clone.stacks:
            return wish
    if not wish.like and not wish.platform:
        wish = replace(wish, platform=console.ask("Platform, local or aws?", "local"))
    if wish.like and _unreadable(clone, wish.like):
        return wish
    if platform(clone, wish) == "aws":
        source = clone.config(wish.like) if wish.like else None
        regions = [clone.config(name).region for name in sorted(clone.stacks)]
        if not wish.region:
            default = (source.region if source else "") or next(filter(None, regions), "")
            wish = replace(wish, region=console.ask("AWS region?", default))
        if not wish.admin_cidrs and not (source and source.setting("platform").get("adminCidrs")):
            answer = console.ask("Networks that may reach SSH and the engines, such as your address/32?", "")
            wish = replace(wish, admin_cidrs=tuple(answer.replace(",", " ").split()))
    return wish
