"""What a stack on AWS costs a month, before and after, by the table in prices.yaml. What is not in it is unknown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cli.screen.comment.markdown import code
from cli.screen.events import Properties, Step
from cli.screen.plan.changes import MAKE, REMOVE, changes

TABLE = Path(__file__).with_name("prices.yaml")

_FREE = (
    *("aws:ec2/vpc:", "aws:ec2/subnet:", "aws:ec2/internetGateway:", "aws:ec2/routeTable", "aws:ec2/route:"),
    *("aws:ec2/securityGroup", "aws:vpc/securityGroup", "aws:ec2/keyPair:", "aws:ec2/eipAssociation:"),
    *("aws:ec2/volumeAttachment:", "aws:iam/", "aws:backup/vault:", "aws:backup/selection:"),
    "aws:route53/record:",
)
"""The beginnings of types that cost nothing by themselves, by AWS's lists of EC2, VPC, IAM, Backup and Route 53."""
_BY_USE = ("aws:backup/plan:",)
"""Types whose cost depends on how much data changes."""


@dataclass(frozen=True)
class Price:
    """US dollars a month, and what is not in it."""

    known: float = 0.0
    unknown: tuple[str, ...] = ()
    """What the table does not have."""

    def __add__(self, other: "Price") -> "Price":
        """The sum of both."""
        return Price(self.known + other.known, (*self.unknown, *other.unknown))


def table() -> dict[str, Any]:
    """The table."""
    found: dict[str, Any] = yaml.safe_load(TABLE.read_text())
    return found


def price(kind: str, name: str, inputs: Properties, region: str, prices: Mapping[str, Any]) -> Price:
    """The price of one resource of AWS.

    Args:
        kind: the resource's type.
        name: its name.
        inputs: its properties.
        region: the region.
        prices: the table.

    """
    here = prices["regions"].get(region) or {}
    hours = float(prices["hours"])
    if kind.startswith(_FREE):
        return Price()
    if kind.startswith(_BY_USE):
        return Price(unknown=(f"{name} (by use)",))
    if kind.startswith("aws:ec2/instance:"):
        hourly = (here.get("instances") or {}).get(inputs.get("instanceType"))
        machine = (
            Price(hourly * hours) if hourly else Price(unknown=(f"{name} ({inputs.get('instanceType')})",))
        )
        root = inputs.get("rootBlockDevice")
        disk = root if isinstance(root, Mapping) else {}
        return machine + _disk(f"{name}'s disk", disk.get("volumeType"), disk.get("volumeSize"), disk, here)
    if kind.startswith("aws:ebs/volume:"):
        return _disk(name, inputs.get("type"), inputs.get("size"), inputs, here)
    if kind.startswith("aws:ec2/eip:"):
        return Price(float(prices["address"]) * hours)
    if kind.startswith("aws:route53/healthCheck:"):
        return Price(float(prices["healthCheck"]))
    return Price(unknown=(name,))


def _disk(name: str, kind: Any, size: Any, inputs: Mapping[str, Any], here: Mapping[str, Any]) -> Price:
    plain = not inputs.get("iops") and not inputs.get("throughput")
    if kind == "gp3" and plain and "gp3" in here and isinstance(size, int | float):
        return Price(float(size) * float(here["gp3"]))
    return Price(unknown=(f"{name} ({kind or 'disk'})",))


def described_prices(steps: Sequence[Step], region: str) -> list[str]:
    """What the stack costs a month before and after, and what is unknown of it. Nothing without resources of AWS."""
    prices = table()
    before, after = Price(), Price()
    verbs = {change.step.urn: change.verb for change in changes(steps)}
    final = {step.urn: step for step in steps if step.type.startswith("aws:") and (step.after or step.before)}
    if not final:
        return []
    for urn, step in final.items():
        verb = verbs.get(urn)
        if verb != MAKE:
            inputs = next((s.before for s in steps if s.urn == urn and s.before), step.after)
            before += price(step.type, step.name, inputs, region, prices)
        if verb != REMOVE:
            inputs = next((s.after for s in steps if s.urn == urn and s.after), step.before)
            after += price(step.type, step.name, inputs, region, prices)
    when = f"table of {prices['date']}, {code(region or 'unknown region')}"
    lines = [f"Price per month: {_amount(before)} → {_amount(after)}, on demand, without traffic ({when})."]
    if missing := list(dict.fromkeys((*before.unknown, *after.unknown))):
        lines.append(f"Unknown, and not in it: {', '.join(code(name) for name in missing)}.")
    return lines


def _amount(price: Price) -> str:
    if not price.known and price.unknown:
        return "unknown"
    more = " + unknown" if price.unknown else ""
    return f"{price.known:.2f} USD{more}"
