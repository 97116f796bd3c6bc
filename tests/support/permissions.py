"""The permissions that docs/aws.md lists."""

import re
from fnmatch import fnmatchcase

from tests.support.clone import REPOSITORY

PAGE = REPOSITORY / "docs/aws.md"


def documented() -> set[str]:
    """The actions in the code blocks of the section, such as `ec2:RunInstances`; `*` stands for any text."""
    section = PAGE.read_text().partition("## Permissions\n")[2].partition("\n## ")[0]
    found = set()
    for block in re.findall(r"```\n(.*?)```", section, re.DOTALL):
        for line in block.splitlines():
            service = ""
            for word in line.split():
                given, colon, action = word.rpartition(":")
                service = given if colon else service
                assert re.fullmatch(r"[A-Z][A-Za-z]*\*?", action), f"{PAGE.name}: {word} is no action"
                found.add(f"{service}:{action}")
    return found


def undocumented(asked: set[str]) -> set[str]:
    """Those of some actions that the page does not list."""
    allowed = documented()
    return {action for action in asked if not any(fnmatchcase(action, each) for each in allowed)}
