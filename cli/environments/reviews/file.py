"""The text of a review environment's file, from the template. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from cli.environments.draft import (
    SCHEMA_LINE,
    Plan,
    at_setting,
    changes,
    encrypted,
    without_header,
    without_secrets,
)
from cli.environments.reviews.record import FORMAT, Record, stack_of
from cli.stack.config import StackConfig
from stackfile.document import Location
from stackfile.edit import REMOVED, Change, changed
from well_known import REVIEW_TEMPLATE, guest_account


def text(template: str, pull_request: int, record: Record, before: StackConfig, project: str) -> str:
    """The environment's file.

    It has the template's secrets, which the same passphrase or key service decrypts, and passwords of its own.

    Args:
        template: the text of the template's file.
        pull_request: the number of the pull request.
        record: when the environment's time is over, and its ports.
        before: the file that the environment has until now; empty without one.
        project: the project's name.

    Raises:
        CannotEdit: a value that has to change cannot be changed without touching others.

    """
    plain = without_header(template)
    config = StackConfig.read_text(plain, project)
    shift = record.port_offset - port_offset(config)
    plan = Plan(stack_of(pull_request), REVIEW_TEMPLATE, "local", shift, record.port_offset)
    own: dict[Location, Change] = {
        **changes(config, plan),
        at_setting("review", "pullRequest"): pull_request,
        at_setting("review", "until"): f"{record.until:{FORMAT}}",
    }
    return f"{_header(pull_request)}\n{changed(plain, {**own, **_secrets(config, before)})}"


@dataclass(frozen=True)
class HostStack:
    """The stack on whose hosts an environment is, as its outputs tell."""

    name: str
    roles: Mapping[str, tuple[str, ...]]
    """The roles of each host."""
    registry: str
    """The address of its registry, as its hosts know it."""
    guests: int
    """How many environments may be there."""
    has_https: bool = True
    """Whether visitors reach its hosts by HTTPS. On `local`, the port is published once one of its services has it."""


TAKEN = ("services", "secrets", "certificates", "rollout")
"""The settings that a guest has from the template. All others are about hosts, which are another stack's."""
NAMED = ("from",)
LISTED = ("needs",)
"""The settings of a service that name others."""


def guests_text(
    template: str, pull_request: int, record: Record, before: StackConfig, project: str, hosts: HostStack
) -> str:
    """The file of an environment on the hosts of another stack.

    Its services have the stack's name in front of theirs: on the hosts, names of services, volumes and files are those
    of all stacks there.

    Args:
        template: the text of the template's file.
        pull_request: the number of the pull request.
        record: when the environment's time is over, and which guest it is.
        before: the file that the environment has until now; empty without one.
        project: the project's name.
        hosts: the other stack.

    Raises:
        CannotEdit: a value of the template cannot be read.

    """
    config = StackConfig.read_text(template, project)
    stack = stack_of(pull_request)
    named = changed(
        without_header(template),
        {
            **{
                at: change
                for at, change in changes(config, Plan(stack, "", "local")).items()
                if at[1] == "slipway:services"
            },
            **_secrets(config, before),
        },
    )
    document = yaml.safe_load(named)
    settings = {key: document["config"].get(at_setting(key)[1]) for key in TAKEN}
    account = guest_account(record.slot)
    own: dict[str, Any] = {
        "platform": {"kind": "local"},
        "hosts": {
            host: {"roles": kept}
            for host, roles in hosts.roles.items()
            if (kept := [one for one in roles if one in ROLES])
        },
        "registry": {
            "external": {"server": hosts.registry, "namespace": f"{account}/{stack}", "username": account}
        },
        "review": {
            "hostsOf": hosts.name,
            "slot": record.slot,
            "pullRequest": pull_request,
            "until": f"{record.until:{FORMAT}}",
        },
        **{key: value for key, value in settings.items() if value is not None},
    }
    if isinstance(own.get("services"), dict):
        own["services"] = {
            f"{stack}-{name}": _renamed(service, stack, has_https=hosts.has_https)
            for name, service in own["services"].items()
        }
    top = {key: value for key, value in document.items() if key != "config"}
    content = {"config": {at_setting(key)[1]: value for key, value in own.items()}, **top}
    return f"{_header(pull_request)}\n{yaml.safe_dump(content, sort_keys=False, width=120)}"


ROLES = ("build", "app")
"""What a guest uses the hosts for."""


def _renamed(service: Any, stack: str, *, has_https: bool) -> Any:
    """A service's settings, in which other services have the stack's name in front, too."""
    if not isinstance(service, dict):
        return service
    found = dict(service) if has_https else {"tls": "off", **service}
    for key in NAMED:
        if isinstance(found.get(key), str):
            found[key] = f"{stack}-{found[key]}"
    for key in LISTED:
        if isinstance(found.get(key), list):
            found[key] = [f"{stack}-{one}" for one in found[key]]
    return found


def port_offset(config: StackConfig) -> int:
    """The port offset in a file; 0 without one."""
    platform = config.setting("platform")
    offset = platform.get("portOffset") if isinstance(platform, dict) else None
    return offset if isinstance(offset, int) else 0


def _secrets(template: StackConfig, before: StackConfig) -> dict[Location, Change]:
    """What of the encrypted values stays: the template's secrets, and what only the file before has."""
    passwords = at_setting("passwords")
    found: dict[Location, Change] = {passwords: REMOVED} if template.has("passwords") else {}
    has_secrets = any(at[: len(passwords)] != passwords for at in encrypted(template.content))
    if not has_secrets:
        # The salt is nobody's: the passphrase may be another one than that of whoever wrote the template.
        found = without_secrets(template)
    salt = template.content.get("encryptionsalt") if has_secrets else None
    own = before.content.get("encryptionsalt")
    if isinstance(own, str) and salt in {None, own} and not template.has_secrets_provider:
        found[("encryptionsalt",)] = own
        for key, others in (("passwords", ()), ("secrets", template.secrets)):
            values = before.setting(key)
            for name, value in values.items() if isinstance(values, dict) else ():
                if name not in others:
                    found[at_setting(key, name)] = value
    return found


def _header(pull_request: int) -> str:
    lines = [
        SCHEMA_LINE,
        f"# The review environment of pull request {pull_request}.",
        f"# `./slip review open {pull_request}` writes this file from Pulumi.{REVIEW_TEMPLATE}.yaml: edit that one.",
    ]
    return "\n".join(lines)
