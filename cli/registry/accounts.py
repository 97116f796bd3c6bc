"""`slip account`: the registry's accounts, their passwords and client certificates.

All commands change only the stack's configuration. The next `up` puts the change in place, and the registry reads its
accounts file again without a restart.
"""

import re

from cli import console
from cli.errors import CommandError
from cli.stack.config import StackConfig
from cli.stack.passwords import make_password, password_path
from cli.stack.stack import Stack
from well_known import HOSTS_ACCOUNT, NAMESPACE

_NEW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
"""Names that the settings accept, as in `configuration/types.py`, which is slow to import."""


def add(stack: Stack, name: str) -> None:
    """Add an account with a new password.

    Raises:
        CommandError: the name is invalid or taken.

    """
    config = _editable(stack)
    if name == HOSTS_ACCOUNT:
        raise CommandError(
            f"the account '{name}' exists already: the stack's hosts push and pull with it",
            f"Use another name. `./slip account rotate {name}{stack.option}` gives '{name}' a new password.",
            status=2,
        )
    # The message repeats the name, but must not repeat a password after a colon.
    if not _NEW_NAME.fullmatch(name):
        raise CommandError(
            f"'{name.partition(':')[0][:64]}{':…' if ':' in name else ''}' is not a valid account name",
            "Use up to 64 letters, digits and . _ @ + -, with a letter or a digit first. Slipway makes the password.",
            status=2,
        )
    if name in config.users:
        raise CommandError(
            f"the account '{name}' is in {stack.config_file.name} already",
            f"`./slip account rotate {name}{stack.option}` gives it a new password.",
        )
    # The password first: if the command is killed before the account is added, the password alone gives no access.
    # A password that exists already belonged to an earlier account of this name, so it is replaced.
    make_password(stack, name)
    rights = ""
    if config.users_have_rights:
        path, value = f'registry.users["{name}"].pull[0]', "*"
        rights = " It may pull everything and push nothing: slipway:registry.users says who may what.\n"
    else:
        path, value = f"registry.users[{len(config.users)}]", name
    # With the type, since Pulumi would store 123 as a number and true as a boolean.
    stack.pulumi.read(
        *("config", "set", "--stack", stack.name, "--type", "string", "--path"),
        *(f"{NAMESPACE}:{path}", value),
    )
    console.say(
        f"Added the account {name} with a password to {stack.config_file.name} (encrypted).\n{rights.lstrip()}"
        f"Run `./slip up{stack.option}` to put it in place. Then `./slip account password {name}{stack.option}` prints "
        f"the password, and `./slip login --account {name}{stack.option}` logs in this machine's Docker."
    )


def remove(stack: Stack, name: str) -> None:
    """Remove an account and its password.

    Raises:
        CommandError: the account does not exist, or it is the hosts' own.

    """
    config = _editable(stack)
    if name == HOSTS_ACCOUNT:
        raise CommandError(
            f"the account '{name}' cannot be removed: the stack's hosts push and pull with it",
            f"`./slip account rotate {name}{stack.option}` gives it a new password.",
            status=2,
        )
    # A removal that was killed half-way has left only the password.
    if name not in config.users and name not in config.accounts_with_password:
        raise _unknown(stack, name)
    if config.users_have_rights:
        paths = [f'registry.users["{name}"]'] if name in config.users else []
    else:
        # From the end, since each removal moves the entries after it.
        paths = [f"registry.users[{index}]" for index, user in enumerate(config.users) if user == name][::-1]
    for path in paths:
        _remove(stack, path)
    if name in config.accounts_with_password:
        _remove(stack, f'passwords["{name}"]')
    console.say(
        f"Removed the account {name} from {stack.config_file.name}. "
        f"Run `./slip up{stack.option}`: after that the registry refuses it."
    )


def rotate(stack: Stack, name: str) -> None:
    """Replace an account's password. The account may be the hosts' own.

    Raises:
        CommandError: the account does not exist.

    """
    if name not in _own(stack).accounts:
        raise _unknown(stack, name)
    make_password(stack, name)
    then = (
        "The stack's hosts use it at once."
        if name == HOSTS_ACCOUNT
        else f"Then log in again with `./slip account password {name}{stack.option}`."
    )
    console.say(
        f"Made a new password for {name} (encrypted in {stack.config_file.name}).\n"
        f"Run `./slip up{stack.option}`: after that the registry accepts only the new one. {then}"
    )


def password(stack: Stack, name: str) -> str:
    """The password of an account.

    Raises:
        CommandError: the account does not exist, or has no password yet.

    """
    config = _own(stack)
    if name not in config.accounts:
        raise _unknown(stack, name)
    if name not in config.accounts_with_password:
        raise CommandError(
            f"the account '{name}' has no password yet", f"`./slip up{stack.option}` makes it."
        )
    return stack.pulumi.read(
        *("config", "get", "--stack", stack.name, "--path", password_path(stack, name))
    ).removesuffix("\n")


def show(stack: Stack) -> None:
    """Print the accounts as a table, without passwords."""
    config = _own(stack)
    console.table(
        "Registry accounts",
        ("account", "password"),
        [
            (name, "set" if name in config.accounts_with_password else "made by the next up")
            for name in config.accounts
        ],
    )


def certificate(stack: Stack, name: str, *, key: bool) -> str:
    """An account's client certificate for the registry, or its private key: PEM.

    Raises:
        CommandError: the registry asks for no client certificates, or the account does not exist, or has none yet.

    """
    outputs = stack.outputs()
    known = outputs.get("registryClientKeys" if key else "registryClientCertificates")
    if not known:
        raise CommandError(
            f"the registry of '{stack.name}' asks for no client certificates",
            f"Set `slipway:registry: {{clientCertificates: true}}`, then run `./slip up{stack.option}`.",
        )
    if name not in known:
        if name in stack.config.accounts:
            raise CommandError(
                f"the account '{name}' has no certificate yet", f"`./slip up{stack.option}` makes it."
            )
        raise _unknown(stack, name)
    return str(known[name])


def _unknown(stack: Stack, name: str) -> CommandError:
    return CommandError(
        f"the account '{name}' is not in {stack.config_file.name}",
        f"Accounts: {', '.join(stack.config.accounts)}.",
    )


def _own(stack: Stack) -> StackConfig:
    """The configuration of a stack with a registry of its own, and so with accounts of its own."""
    config = stack.config
    if config.has_external_registry:
        raise CommandError(
            f"the stack '{stack.name}' uses an external registry (slipway:registry.external), and this configuration "
            "does not have its accounts",
            "Manage the accounts at that registry. The stack's account is slipway:registry.external.username; "
            f"`./slip secret set REGISTRY_PASSWORD{stack.option}` sets its password.",
            status=2,
        )
    return config


def _editable(stack: Stack) -> StackConfig:
    """The configuration, if Pulumi can edit its list of users."""
    config = _own(stack)
    if not config.users_can_be_edited:
        raise CommandError(
            f"{NAMESPACE}:registry in {stack.config_file.name} is not YAML with a list or map of `users`, so "
            "changing it would lose the rest",
            "Write it as `{users: [alice, …]}`, without quotation marks around all of it.",
        )
    return config


def _remove(stack: Stack, path: str) -> None:
    stack.pulumi.read("config", "rm", "--stack", stack.name, "--path", f"{NAMESPACE}:{path}")
