"""The registry's accounts: who they are, and the passwords that are made for them."""

import re
import secrets

from cli import console
from cli.errors import CommandError
from cli.stack_config import StackConfig
from cli.stacks import Stack

_NAME = re.compile(r"[A-Za-z0-9._@+-]+")
"""Names that fit into a configuration path. The settings refuse all others with a better explanation."""


def make_missing_passwords(stack: Stack, config: StackConfig) -> tuple[str, ...]:
    """Give each account without a password one of 192 random bits, encrypted in the stack's configuration.

    Returns the accounts that got one.
    """
    missing = tuple(
        name
        for name in config.accounts
        if name not in config.accounts_with_password and _NAME.fullmatch(name)
    )
    for name in missing:
        stack.pulumi.read(
            *("config", "set", "--stack", stack.name, "--secret", "--path", _path(stack, name)),
            stdin=secrets.token_urlsafe(24),
        )
    if missing:
        plural = "passwords" if len(missing) > 1 else "a password"
        console.say(f"Made {plural} for {', '.join(missing)} (encrypted in {stack.config_file.name}).")
    return missing


def password(stack: Stack, name: str) -> str:
    """The password of an account.

    Raises:
        CommandError: there is no such account, or it has no password yet.

    """
    config = stack.config
    if name not in config.accounts:
        raise CommandError(
            f"no account '{name}' in {stack.config_file.name}", f"Accounts: {', '.join(config.accounts)}."
        )
    if name not in config.accounts_with_password:
        raise CommandError(
            f"the account '{name}' has no password yet", f"`./slip up{stack.option}` makes it."
        )
    return stack.pulumi.read(
        *("config", "get", "--stack", stack.name, "--path", _path(stack, name))
    ).removesuffix("\n")


def show(stack: Stack) -> None:
    """Print the accounts as a table, without passwords."""
    config = stack.config
    console.table(
        "Registry accounts",
        ("account", "password"),
        [
            (name, "set" if name in config.accounts_with_password else "made by the next up")
            for name in config.accounts
        ],
    )


def _path(stack: Stack, name: str) -> str:
    return f'{stack.project.name}:passwords["{name}"]'
