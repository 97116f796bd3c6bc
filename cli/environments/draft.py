"""The text of a new stack's file: another stack's or a first one, without secrets, with ports or a network of its own.

Pure functions.
"""

import re
from collections.abc import Iterator
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
    plain = without_header(source)
    config = StackConfig.read_text(plain, project)
    return f"{_header(plan)}\n{changed(plain, {**without_secrets(config), **changes(config, plan)})}"


def without_secrets(config: StackConfig) -> dict[Location, Change]:
    """A file without what only its own stack can decrypt."""
    found: dict[Location, Change] = dict.fromkeys(
        (("encryptionsalt",), ("encryptedkey",), *encrypted(config.content)), REMOVED
    )
    return found | {at_setting(key): REMOVED for key in ("passwords", "secrets") if config.has(key)}


def changes(config: StackConfig, plan: Plan) -> dict[Location, Change]:
    """What the new stack's file has otherwise than the one to begin with, beside secrets.

    A name in the DNS can lead to one stack only, so the new stack's names have its own name in front.
    """
    found: dict[Location, Change] = {at_setting("platform", "kind"): plan.platform}
    if plan.port_offset is not None:
        found[at_setting("platform", "portOffset")] = plan.port_offset
    registry = _map(config.setting("registry"))
    for key in ("port", "metricsPort") if plan.platform == "local" else ():
        if isinstance(port := registry.get(key), int):
            found[at_setting("registry", key)] = port + plan.shift
    if plan.region:
        found[at_setting("platform", "region")] = plan.region
    if plan.admin_cidrs:
        found[at_setting("platform", "adminCidrs")] = list(plan.admin_cidrs)
    if plan.cidr:
        found[at_setting("platform", "network", "cidr")] = plan.cidr
    # A volume belongs to one stack.
    if "dataVolume" in registry:
        found[at_setting("registry", "dataVolume")] = REMOVED
    # The new stack is no review environment, and has none on its hosts, whatever it is like.
    review = _map(config.setting("review"))
    not_copied = ("pullRequest", "until", "slot", "guests")
    found |= {at_setting("review", key): REMOVED for key in not_copied if key in review}
    label = re.sub(r"[^a-z0-9]+", "-", plan.name.lower()).strip("-") or "new"
    for at, names in domains(config).items():
        own = [_below(label, name) for name in names]
        found[at] = own if at[-1] == "domains" else own[0]
    return found


def _below(label: str, name: str) -> str:
    """A name in the DNS with one more label in front; `*.` stays at the beginning."""
    star = "*." if name.startswith("*.") else ""
    return f"{star}{label}.{name.removeprefix(star)}"


def domains(config: StackConfig) -> dict[Location, tuple[str, ...]]:
    """The names in the DNS that a stack's file has, by their location."""
    found: dict[Location, tuple[str, ...]] = {}
    if isinstance(domain := _map(config.setting("registry")).get("domain"), str):
        found[at_setting("registry", "domain")] = (domain,)
    for name, service in _map(config.setting("services")).items():
        for key in ("domain", "domains", "canonical"):
            value = _map(service).get(key)
            names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
            if names and all(isinstance(each, str) for each in names):
                found[at_setting("services", name, key)] = names
    return found


def encrypted(value: object, at: Location = ()) -> Iterator[Location]:
    """The keys whose values are encrypted, or lists with such values: only the stack that has them can read them."""
    for key, entry in value.items() if isinstance(value, dict) else ():
        if (isinstance(entry, dict) and entry.keys() == {"secure"}) or (
            isinstance(entry, list) and any(isinstance(each, dict) and "secure" in each for each in entry)
        ):
            yield (*at, key)
        else:
            yield from encrypted(entry, (*at, key))


def at_setting(key: str, *steps: str) -> Location:
    """Where a setting of Slipway's is in a stack's file."""
    return ("config", f"{NAMESPACE}:{key}", *steps)


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def without_header(source: str) -> str:
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
