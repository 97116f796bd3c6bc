"""Whether a plan keeps the rules in `policy/`, by the events of its preview: no policy host is needed."""

from collections.abc import Iterable

from cli import console
from cli.screen.events import Step

UNSEEN = ("delete", "read", "refresh", "import")
"""The beginnings of operations that ask for nothing."""


def broken(steps: Iterable[Step]) -> list[tuple[bool, str]]:
    """The rules that a plan breaks: whether each is mandatory, and what breaks it.

    Args:
        steps: the plan's, those of resources that stay as they are included.

    """
    from policy.resource import Resource
    from policy.rule import violations

    plan = {
        step.urn: Resource(
            step.type,
            step.name,
            step.after,
            step.urn.split("::")[0].rpartition(":")[2],
            step.protect,
            step.retains,
        )
        for step in steps
        if step.after and not step.operation.startswith(UNSEEN)
    }
    return [(found.rule.level == "mandatory", str(found)) for found in violations(plan.values())]


def refuses(steps: Iterable[Step]) -> bool:
    """Say which rules a plan breaks. Returns whether one of them is mandatory.

    Args:
        steps: the plan's, those of resources that stay as they are included.

    """
    found = broken(steps)
    for is_mandatory, text in found:
        if is_mandatory:
            console.error(f"policy: {text}")
        else:
            console.warn(f"policy: {text}")
    is_refused = any(is_mandatory for is_mandatory, _ in found)
    if is_refused:
        console.say("docs/policy.md describes the rules, and how to change them.")
    return is_refused
