"""The registry's accounts: who they are, and the passwords that are made for them.

Everything here changes the stack's configuration only. The next `up` puts it in place, and the registry reads its
accounts at each change, without a restart.
"""

import re

from cli import console
from cli.errors import CommandError
from cli.stack.config import StackConfig
from cli.stack.passwords import make_password, password_path
from cli.stack.stack import Stack
from well_known import HOSTS_ACCOUNT

_NEW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
"""Names that the settings accept (`configuration/kinds.py`, which would be slow to import here)."""


def add(stack: Stack, name: str) -> None:
    """Let a new account in, with a password of its own.

    Raises:
        CommandError: the name is no account's name, or is taken.

    """
    config = _editable(stack)
    if name == HOSTS_ACCOUNT:
        raise CommandError(
            f"the account '{name}' is there already: the stack's own hosts push and pull by it",
            f"Use another name, or `./slip account rotate {name}{stack.option}` for a new password of its own.",
            status=2,
        )
    # The name comes back in our message, so a password that somebody wrote after a colon must not.
    if not _NEW_NAME.fullmatch(name):
        raise CommandError(
            f"'{name.partition(':')[0][:64]}{':…' if ':' in name else ''}' is no account's name",
            "Use up to 64 letters, digits and . _ @ + -, with a letter or a digit first. The password is made for it.",
            status=2,
        )
    if name in config.users:
        raise CommandError(
            f"there is an account '{name}' in {stack.config_file.name} already",
            f"`./slip account rotate {name}{stack.option}` gives it a new password.",
        )
    # The password first: a command that is killed between the two leaves a password that lets nobody in. One that is
    # there already belonged to somebody else of this name.
    make_password(stack, name)
    # As a text, since Pulumi would take 123 or true for something else.
    stack.pulumi.read(
        *("config", "set", "--stack", stack.name, "--type", "string", "--path"),
        *(f"{stack.project.name}:registry.users[{len(config.users)}]", name),
    )
    console.say(
        f"Added the account {name} to {stack.config_file.name}, with a password (encrypted).\n"
        f"Run `./slip up{stack.option}` to let it in; then `./slip account password {name}{stack.option}` prints the "
        f"password, and `./slip login --account {name}{stack.option}` logs this machine's Docker in."
    )


def remove(stack: Stack, name: str) -> None:
    """Let an account in no more, and remove its password.

    Raises:
        CommandError: there is no such account, or the stack cannot do without it.

    """
    config = _editable(stack)
    if name == HOSTS_ACCOUNT:
        raise CommandError(
            f"the account '{name}' cannot be removed: the stack's own hosts push and pull by it",
            f"`./slip account rotate {name}{stack.option}` gives it a new password.",
            status=2,
        )
    # A removal that was killed half-way left the password alone.
    if name not in config.users and name not in config.accounts_with_password:
        raise _unknown(stack, name)
    # From the end, since each removal moves what comes after it.
    for index in reversed([index for index, user in enumerate(config.users) if user == name]):
        _remove(stack, f"registry.users[{index}]")
    if name in config.accounts_with_password:
        _remove(stack, f'passwords["{name}"]')
    console.say(
        f"Removed the account {name} from {stack.config_file.name}. "
        f"Run `./slip up{stack.option}`: from then on the registry refuses it."
    )


def rotate(stack: Stack, name: str) -> None:
    """Give an account, the hosts' own too, a new password in place of the one it has.

    Raises:
        CommandError: there is no such account.

    """
    if name not in _own(stack).accounts:
        raise _unknown(stack, name)
    make_password(stack, name)
    then = (
        "the stack's hosts use it at once."
        if name == HOSTS_ACCOUNT
        else f"its people then log in anew, with `./slip account password {name}{stack.option}`."
    )
    console.say(
        f"Made a new password for {name} (encrypted in {stack.config_file.name}).\n"
        f"Run `./slip up{stack.option}`: from then on the registry takes the new one only; {then}"
    )


def password(stack: Stack, name: str) -> str:
    """The password of an account.

    Raises:
        CommandError: there is no such account, or it has no password yet.

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
    """The certificate that an account shows the registry, or its key: PEM.

    Raises:
        CommandError: the registry asks for none, or there is no such account, or not yet.

    """
    outputs = stack.outputs()
    known = outputs.get("registryClientKeys" if key else "registryClientCertificates")
    if not known:
        raise CommandError(
            f"the registry of '{stack.name}' asks for no client certificates",
            f"It does after `slipway:registry: {{clientCertificates: true}}` and `./slip up{stack.option}`.",
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
        f"no account '{name}' in {stack.config_file.name}", f"Accounts: {', '.join(stack.config.accounts)}."
    )


def _own(stack: Stack) -> StackConfig:
    """The configuration, if the registry, and so its accounts, are the stack's own."""
    config = stack.config
    if config.has_external_registry:
        raise CommandError(
            f"the registry of the stack '{stack.name}' is someone else's (slipway:registry.external), and so are its "
            "accounts",
            "Make and change them there. Which one the stack uses is slipway:registry.external.username, and its "
            f"password `pulumi config set --secret --path slipway:secrets.REGISTRY_PASSWORD{stack.option}`.",
            status=2,
        )
    return config


def _editable(stack: Stack) -> StackConfig:
    """The configuration, if its list of users can be changed in its place."""
    config = _own(stack)
    if not config.users_can_be_edited:
        raise CommandError(
            f"{stack.project.name}:registry in {stack.config_file.name} is not written as YAML with a list of `users`, "
            "so it cannot be changed without losing something",
            "Write it as `{users: [alice, …]}`, without quotation marks around the whole.",
        )
    return config


def _remove(stack: Stack, path: str) -> None:
    stack.pulumi.read("config", "rm", "--stack", stack.name, "--path", f"{stack.project.name}:{path}")
