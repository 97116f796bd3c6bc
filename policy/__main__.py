"""The rules as a policy pack, for whoever has a Pulumi policy host: `pulumi preview --policy-pack policy`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policy.resource import UNKNOWN, Resource
from policy.rule import Rule, rules


def _plain(value: Any) -> Any:
    """A value without the proxies by which the host finds out that a rule reads what is not known yet."""
    if isinstance(value, Mapping):
        return {str(key): _known(lambda key=key: value[key]) for key in value}  # type: ignore[misc]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_known(lambda index=index: value[index]) for index in range(len(value))]  # type: ignore[misc]
    return value


def _known(read: Callable[[], Any]) -> Any:
    try:
        return _plain(read())
    except Exception as error:
        # The SDK's own exception, which it does not export.
        if type(error).__name__ == "UnknownValueError":
            return UNKNOWN
        raise


def _policy(rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type not in rule.types:
            return
        # The host does not tell whether a resource is retained.
        protect = bool(args.opts and args.opts.protect)
        stack = args.urn.split("::")[0].rpartition(":")[2]
        resource = Resource(args.resource_type, args.name, _plain(args.props), stack, protect, retain=None)
        for text in rule.check(resource):
            report(f"{args.name}: {text}", None)

    return ResourceValidationPolicy(
        name=rule.name,
        description=rule.description,
        validate=validate,
        enforcement_level=EnforcementLevel(rule.level),
    )


PolicyPack(name="slipway", policies=[_policy(rule) for rule in rules()])
