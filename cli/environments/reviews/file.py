"""The text of a review environment's file, from the template. Pure functions."""

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
from well_known import REVIEW_TEMPLATE


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
