"""The stack's outputs: `slip output`, and the panel at the end of `slip up`."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.stack import deployment
from cli.stack.stack import Stack
from well_known import REVIEW_TEMPLATE

SECRET = "[secret]"  # noqa: S105 - the text in place of a secret
"""Printed in place of a secret, as Pulumi does."""


def show(stack: Stack, key: str | None, *, show_secrets: bool, as_json: bool) -> None:
    """Print all outputs, or one of them unchanged for scripts.

    Raises:
        CommandError: the output does not exist, or it is secret and `show_secrets` is not set.

    """
    outputs = read(stack, show_secrets=show_secrets)
    if key is None:
        if as_json:
            print(json.dumps(outputs, indent=2))
        else:
            console.facts(
                f"Outputs of {stack.name}", [(name, _text(value)) for name, value in sorted(outputs.items())]
            )
        return
    if key not in outputs:
        raise CommandError(
            f"the stack '{stack.name}' has no output '{key}'",
            f"Outputs: {', '.join(sorted(outputs)) or 'none'}.",
        )
    if outputs[key] == SECRET and not show_secrets:
        raise CommandError(f"the output '{key}' is secret", "Pass --show-secrets to print it.", status=2)
    text = json.dumps(outputs[key]) if as_json else _text(outputs[key])
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def read(stack: Stack, *, show_secrets: bool) -> dict[str, Any]:
    """The stack's outputs. Secrets are replaced by `SECRET`, unless `show_secrets` is set."""
    if show_secrets:
        return stack.outputs()
    for resource in deployment.resources(stack.deployment()):
        if resource.get("type") == "pulumi:pulumi:Stack":
            return {
                name: SECRET if deployment.has_secret_shape(value) else value
                for name, value in (resource.get("outputs") or {}).items()
            }
    return {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def summary(stack: Stack, outputs: dict[str, Any], answers: Sequence[tuple[str, str, str]]) -> None:
    """Print the addresses, how to log in, and the next commands.

    Args:
        stack: the stack.
        outputs: its outputs.
        answers: each service on each host: who, what shows a page of it, and what it answers.

    """
    width = max((len(who) for who, _, _ in answers), default=0)
    services = [
        f"{who:<{width}}  {url}{f'  {answer}' if answer not in {'healthy', ''} else ''}"
        for who, url, answer in answers
    ]
    registry = outputs.get("registryPublicAddress") or outputs.get("registryAddress") or ""
    users = stack.config.users
    option = stack.option
    # A shell continues a line that ends in a pipe, so both lines can be pasted together.
    login = (
        f"./slip account password {users[0]}{option} |\n  docker login {registry} -u {users[0]} --password-stdin"
        if registry and users
        else f"./slip login{option}"
        if outputs.get("registryMode") == "external"
        else ""
    )
    file, deploy, remove = stack.edited_file.name, f"./slip up{option}", f"./slip down{option}"
    if number := stack.config.pull_request:
        file = stack.project.config_file(REVIEW_TEMPLATE).name
        deploy, remove = f"./slip review open {number}", f"./slip review close {number}"
    console.facts(
        f"Slipway: the stack {stack.name} runs",
        [
            ("Services", "\n".join(services)),
            *([("Trust", f"./slip trust{option}")] if outputs.get("servicesCaCertificate") else []),
            ("Registry", str(registry)),
            ("Log in", login),
            ("Check", f"./slip verify{option}"),
            ("Change", f"edit the app or {file}, then {deploy}"),
            ("Remove", remove),
        ],
    )
