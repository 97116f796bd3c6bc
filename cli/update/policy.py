"""Whether a plan keeps the rules in `policy/`, by the events of its preview: no policy host is needed."""

from collections.abc import Iterable

from cli import console
from cli.screen.events import Step

UNSEEN = ("delete", "read", "refresh", "import")
"""The beginnings of operations that ask for nothing."""


def refuses(steps: Iterable[Step]) -> bool:
    """Say which rules a plan breaks. Returns whether one of them is mandatory.

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
    broken = list(violations(plan.values()))
    for violation in broken:
        if violation.rule.level == "mandatory":
            console.error(f"policy: {violation}")
        else:
            console.warn(f"policy: {violation}")
    is_refused = any(violation.rule.level == "mandatory" for violation in broken)
    if is_refused:
        console.say("docs/policy.md describes the rules, and how to change them.")
    return is_refused
