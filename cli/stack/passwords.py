"""The passwords and secrets that Slipway generates, encrypted in the stack's configuration.

Values go to Pulumi by standard input, so that no process list shows them.
"""

import re
from collections.abc import Iterable

from cli import console
from cli.stack.config import StackConfig, password_name
from cli.stack.emulated_config import missing_secrets
from cli.stack.stack import Stack
from well_known import NAMESPACE

_NAME = re.compile(r"[A-Za-z0-9._@+-]+")
"""Names that fit into a configuration path. The program refuses all others with a better explanation."""
_LABEL = re.compile(r"[a-z][a-z0-9-]*")
"""Names of services, in the same way."""


def missing_passwords(config: StackConfig) -> tuple[str, ...]:
    """The accounts without a password."""
    return tuple(
        name
        for name in config.accounts
        if name not in config.accounts_with_password and _NAME.fullmatch(name)
    )


def make_missing_passwords(stack: Stack, config: StackConfig) -> tuple[str, ...]:
    """Give each account without a password a random one.

    Returns the accounts that got one.
    """
    missing = missing_passwords(config)
    if missing:
        make_passwords(stack, missing)
        plural = "passwords" if len(missing) > 1 else "a password"
        console.say(f"Made {plural} for {', '.join(missing)} (encrypted in {stack.config_file.name}).")
    return missing


def make_missing_backup_passwords(stack: Stack, config: StackConfig) -> None:
    """Give each kind of backup the password that encrypts it, once: without it, none of them can be read."""
    made = [
        name
        for backup in config.backups
        if (name := password_name(backup)) not in config.secrets and _LABEL.fullmatch(backup)
    ]
    for name in made:
        set_secret(stack, f"{NAMESPACE}:secrets.{name}", _random(24))
    if made:
        several = len(made) > 1
        console.say(
            f"Made {'passwords' if several else 'the password'} of backups, the secret{'s' if several else ''} "
            f"{', '.join(made)} (encrypted in {stack.config_file.name}). Keep a copy of that file and of the stack's "
            "passphrase elsewhere: without them, no backup can be read."
        )


def make_passwords(stack: Stack, accounts: Iterable[str]) -> None:
    """Give accounts new passwords."""
    for name in accounts:
        make_password(stack, name)


def make_missing_secrets(stack: Stack) -> None:
    """Give an emulated stack a random value for each secret of its services; it never gets the real ones."""
    for name in missing_secrets(stack.config.content, NAMESPACE):
        set_secret(stack, f"{NAMESPACE}:secrets.{name}", f"emulated-{_random(12)}")


def make_password(stack: Stack, account: str) -> None:
    """Give an account a new password of 192 random bits."""
    set_secret(stack, password_path(stack, account), _random(24))


def password_path(stack: Stack, account: str) -> str:
    """The path of an account's password in the configuration."""
    return f'{NAMESPACE}:passwords["{account}"]'


def _random(size: int) -> str:
    import secrets  # for new stacks and accounts only, so the everyday `up` goes without

    return secrets.token_urlsafe(size)


def set_secret(stack: Stack, path: str, value: str) -> None:
    """Encrypt a value in the stack's configuration.

    Args:
        stack: the stack.
        path: the value's path, in the notation of `pulumi config set --path`.
        value: the value.

    """
    stack.pulumi.read(
        *("config", "set", "--stack", stack.name, "--secret", "--path", path, *stack.config_option),
        stdin=f"{value}\n" if value.endswith("\n") else value,  # Pulumi removes one line break
    )
