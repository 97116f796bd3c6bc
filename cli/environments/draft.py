"""The text of a new stack's file: another stack's or a first one, without secrets, with ports or a network of its own.

Pure functions.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.stack.config import StackConfig
from stackfile.document import Location
from stackfile.edit import REMOVED, Change, changed
from well_known import NAMESPACE

FIRST_FILES = {kind: Path(__file__).with_name(f"{kind}.yaml") for kind in ("local", "aws")}
"""What a stack that is like no other begins with, by its platform."""
SCHEMA_LINE = "# yaml-language-server: $schema=slipway.schema.json"
"""By this line an editor knows the settings."""


@dataclass(frozen=True)
class Plan:
    """What is decided about a new stack."""

    name: str
    """Without an organization."""
    source: str
    """The stack that it is like; empty if it is like none."""
    platform: str
    shift: int = 0
    """What is added to each port that the source's file names."""
    port_offset: int | None = None
    """On `local`."""
    region: str = ""
    """On `aws`; empty to keep the source's."""
    admin_cidrs: tuple[str, ...] = ()
    """On `aws`; empty to keep the source's."""
    cidr: str = ""
    """On `aws`: of its own network; empty if it has none."""


def text(source: str, plan: Plan, project: str) -> str:
    """The new stack's file.

    Args:
        source: the text of the file to begin with.
        plan: what is decided.
        project: the project's name.

    Raises:
        CannotEdit: a value that has to change cannot be changed without touching others.

    """
    plain = _without_header(source)
    return f"{_header(plan)}\n{changed(plain, changes(StackConfig.read_text(plain, project), plan))}"


def changes(config: StackConfig, plan: Plan) -> Mapping[Location, Change]:
    """What the new stack's file has otherwise than the one to begin with.

    A name in the DNS can lead to one stack only, so the new stack's names have its own name in front.
    """
    found: dict[Location, Change] = dict.fromkeys(
        (("encryptionsalt",), ("encryptedkey",), *_encrypted(config.content)), REMOVED
    )
    found |= {_at(key): REMOVED for key in ("passwords", "secrets") if config.has(key)}
    found[_at("platform", "kind")] = plan.platform
    if plan.port_offset is not None:
        found[_at("platform", "portOffset")] = plan.port_offset
    registry = _map(config.setting("registry"))
    for key in ("port", "metricsPort") if plan.platform == "local" else ():
        if isinstance(port := registry.get(key), int):
            found[_at("registry", key)] = port + plan.shift
    if plan.region:
        found[_at("platform", "region")] = plan.region
    if plan.admin_cidrs:
        found[_at("platform", "adminCidrs")] = list(plan.admin_cidrs)
    if plan.cidr:
        found[_at("platform", "network", "cidr")] = plan.cidr
    # A volume belongs to one stack.
    if "dataVolume" in registry:
        found[_at("registry", "dataVolume")] = REMOVED
    label = re.sub(r"[^a-z0-9]+", "-", plan.name.lower()).strip("-") or "new"
    return found | {at: f"{label}.{domain}" for at, domain in domains(config).items()}


def domains(config: StackConfig) -> dict[Location, str]:
    """The names in the DNS that a stack's file has, by their location."""
    found: dict[Location, str] = {}
    if isinstance(domain := _map(config.setting("registry")).get("domain"), str):
        found[_at("registry", "domain")] = domain
    for name, service in _map(config.setting("services")).items():
        if isinstance(domain := _map(service).get("domain"), str):
            found[_at("services", name, "domain")] = domain
    return found


def _encrypted(value: object, at: Location = ()) -> Iterator[Location]:
    """The keys whose values are encrypted, or lists with such values: only the stack that has them can read them."""
    for key, entry in value.items() if isinstance(value, dict) else ():
        if (isinstance(entry, dict) and entry.keys() == {"secure"}) or (
            isinstance(entry, list) and any(isinstance(each, dict) and "secure" in each for each in entry)
        ):
            yield (*at, key)
        else:
            yield from _encrypted(entry, (*at, key))


def _at(key: str, *steps: str) -> Location:
    return ("config", f"{NAMESPACE}:{key}", *steps)


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _without_header(source: str) -> str:
    """The text without the comment at its top, which is about the stack that the file belongs to."""
    return re.sub(r"\A(?:[ \t]*(?:#[^\n]*)?\n)+", "", source)


def _header(plan: Plan) -> str:
    where = {
        "local": "everything is on this machine, with containers as hosts",
        "aws": "its hosts are EC2 instances",
    }[plan.platform]
    like = f", like the stack `{plan.source}`" if plan.source else ""
    lines = [
        SCHEMA_LINE,
        f"# The stack `{plan.name}`{like}: {where}.",
        f"# `./slip config KEY -s {plan.name}` explains a setting; `./slip preview -s {plan.name}` says what changes.",
        "# Made by `./slip new`; edit it as you like. Pulumi adds the stack's secrets, encrypted.",
    ]
    return "\n".join(lines)
