"""`slip secret`: the secrets that services read, encrypted in the stack's configuration.

Values come from a prompt or from standard input, and go to Pulumi by standard input: no process list, no shell history
and no output has them.
"""

import re
import sys
from collections.abc import Sequence

from cli import console
from cli.errors import CommandError
from cli.stack import config_file
from cli.stack.config import StackConfig
from cli.stack.open import require_configuration
from cli.stack.passwords import set_secret
from cli.stack.project import Project
from cli.stack.stack import LOCAL, LOCAL_STACK, Stack
from well_known import NAMESPACE

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names that the settings accept, as in `configuration/types.py`, which is slow to import."""
LARGEST = 65_536
"""Bytes. Pulumi passes the whole configuration in one environment variable, which Linux limits to 128 KiB."""


def set_(stack: Stack, names: Sequence[str]) -> None:
    """Set secrets: those named, or those that services use and that are not set.

    Raises:
        CommandError: a name is invalid, or a value is missing, too long, or not text.

    """
    for name in names:
        _require_name(name)
    config = stack.config
    wanted = tuple(dict.fromkeys(names)) or tuple(
        name for name in config.secret_users if name not in config.secrets
    )
    if not wanted:
        console.say(f"Every secret that a service of '{stack.name}' uses is set.")
        return
    values = _asked(wanted) if console.is_interactive() else _read(stack, wanted)
    for name, value in values.items():
        set_secret(stack, f"{NAMESPACE}:secrets.{name}", value)
    used = {name: config.secret_users.get(name, []) for name in wanted}
    console.say(f"Set {', '.join(wanted)} (encrypted in {stack.config_file.name}).")
    if unused := [name for name, services in used.items() if not services]:
        console.say(
            f"No service uses {', '.join(unused)} yet: write `secrets: [{', '.join(unused)}]` below a service in "
            f"{stack.config_file.name}."
        )
    else:
        console.say(f"`./slip up{stack.option}` puts it in place.")


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        # Somebody may write NAME=VALUE: no output repeats the value.
        shown = re.split(r"[^A-Za-z0-9_.-]", name)[0][:64]
        raise CommandError(
            f"'{shown}{'' if shown == name else '…'}' is not a secret's name",
            "Use letters, digits and _, and do not begin with a digit. The command asks for the value, or reads it "
            "from standard input.",
            status=2,
        )


def _asked(names: Sequence[str]) -> dict[str, str]:
    """The values, from the terminal, which does not show them."""
    import getpass

    return {name: _checked(name, getpass.getpass(f"{name}: ", stream=sys.stderr)) for name in names}


def _read(stack: Stack, names: Sequence[str]) -> dict[str, str]:
    """The values from standard input: of one secret all of it, of several a line `NAME=VALUE` each."""
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise CommandError(
            f"the value of {names[0]} is not text in UTF-8",
            "Encode it first, such as with `base64`.",
            status=2,
        ) from None
    if len(names) == 1:
        return {names[0]: _checked(names[0], text.removesuffix("\n").removesuffix("\r"))}
    lines = (line.partition("=") for line in text.splitlines())
    given = {name.strip(): value for name, _, value in lines}
    if missing := [name for name in names if name not in given]:
        raise CommandError(
            f"standard input has no line for {', '.join(missing)}",
            "Write a line NAME=VALUE for each, or set one at a time: "
            f"`./slip secret set {missing[0]}{stack.option} < FILE`.",
            status=2,
        )
    return {name: _checked(name, given[name]) for name in names}


def _checked(name: str, value: str) -> str:
    if not value:
        raise CommandError(
            f"the value of {name} is empty: nothing was changed", "Pass it on standard input.", status=2
        )
    if "\0" in value:
        raise CommandError(
            f"the value of {name} has a NUL byte: nothing was changed",
            "Encode it first, such as with `base64`.",
            status=2,
        )
    if (size := len(value.encode())) > LARGEST:
        raise CommandError(
            f"the value of {name} has {size} bytes, and {LARGEST} fit: nothing was changed",
            "Keep the data elsewhere, and the key to it in the secret.",
            status=2,
        )
    return value


def show(project: Project, stack: str, *, as_json: bool) -> None:
    """Print the secrets: whether each is set, and what uses it. No values. Needs neither Pulumi nor a stack.

    Raises:
        CommandError: the stack has no configuration, or one that cannot be read.

    """
    short = stack.rpartition("/")[2]
    require_configuration(project, stack)
    config_file.check(project, short, changes=False)
    path = project.config_file(short)
    config = StackConfig.read(path if path.exists() else LOCAL_STACK, project.name)
    used = config.secret_users
    names = sorted(config.secrets | used.keys())
    if as_json:
        import json

        print(
            json.dumps(
                {name: {"set": name in config.secrets, "usedBy": used.get(name, [])} for name in names},
                indent=2,
            )
        )
        return
    if not names:
        console.say(f"No secret is set, and no service of '{stack}' uses one.")
        return
    console.table(
        "Secrets",
        ("secret", "value", "used by"),
        [
            (name, "set" if name in config.secrets else "not set", ", ".join(used.get(name, [])) or "nothing")
            for name in names
        ],
    )
    if unset := [name for name in names if name not in config.secrets]:
        option = "" if stack == LOCAL else f" -s {stack}"
        console.say(f"`./slip secret set {' '.join(unset)}{option}` sets what is missing.")


def remove(stack: Stack, name: str, *, yes: bool) -> None:
    """Remove a secret, after a question if something uses it.

    Raises:
        CommandError: it is not set, or the answer was no.

    """
    _require_name(name)
    config = stack.config
    if name not in config.secrets:
        known = ", ".join(sorted(config.secrets)) or "none"
        raise CommandError(
            f"the secret {name} is not set in {stack.config_file.name}", f"Secrets there: {known}."
        )
    users = config.secret_users.get(name)
    if users and not yes:
        console.confirm(
            f"{', '.join(users)} uses {name}: the next `up` fails until it is set again. Remove it?",
            remedy="Pass --yes to remove it.",
        )
    stack.pulumi.read(*("config", "rm", "--stack", stack.name, "--path", f"{NAMESPACE}:secrets.{name}"))
    console.say(f"Removed {name} from {stack.config_file.name}.")
