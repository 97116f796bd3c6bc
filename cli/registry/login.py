"""`slip login` and `slip logout`: this machine's Docker trusts the stack's registry, and logs in."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cli import console
from cli.errors import CommandError
from cli.registry import docker_command, docker_files
from cli.registry.login_record import LoginRecord
from cli.stack.file_lock import in_turn
from cli.stack.project import Project
from cli.stack.stack import Stack
from toolchain import cache
from well_known import HOSTS_ACCOUNT

RESTART = "Docker Desktop must be restarted once before it trusts a new CA. Then run this again."
"""The remedy where Docker refuses the registry's certificate, although its CA is in place."""

_NEEDED = ("registryPublicAddress", "registryCaCertificate", "registryAccounts", "registryPasswords")


def login(stack: Stack, account: str | None) -> None:
    """Make this machine's Docker trust the stack's registry, and log in.

    Args:
        stack: the stack, which is up.
        account: the account; by default the first of `slipway:registry.users`.

    Raises:
        CommandError: the account does not exist, the CA cannot be installed, or the registry refuses the login.

    """
    # Two logins at once would each write Docker's configuration, and the later one would drop the other's account.
    with in_turn(cache.root() / "login.lock"):
        _login(stack, account)


def _login(stack: Stack, account: str | None) -> None:
    outputs = stack.outputs()
    if missing := [key for key in _NEEDED if key not in outputs]:
        raise CommandError(
            f"the stack '{stack.name}' is not up: it has no output {', '.join(missing)}",
            f"Run `./slip up{stack.option}` first.",
        )
    name, password = choose(outputs, account, stack.config.users, stack.option)
    address = str(outputs["registryPublicAddress"])
    docker_command.refuse_unusable_config(address)
    contents = docker_files.contents(docker_command.certificates_directory() / address, outputs, name)
    record = LoginRecord.path(stack.project, stack.short_name)
    before = LoginRecord.read(record)
    folder = next((file.parent for file in contents), None)
    if before and (before.address, before.folder) != (address, folder):
        _undo(before)
        record.unlink()
        before = None
    try:
        docker_files.place(stack, address, name, contents, before)
        result = docker_command.run("login", address, "--username", name, "--password-stdin", stdin=password)
        if result.returncode:
            raise CommandError(
                f"docker login {address}: {result.stderr.strip().replace(password, '…')}",
                _remedy(result.stderr, stack, folder),
                status=1,
            )
    except BaseException as error:
        # Docker Desktop reads a new CA at its next start, so that CA has to stay.
        if not (isinstance(error, CommandError) and error.remedy == RESTART):
            _withdraw(record, before)
        raise
    places = " and ".join(str(file) for file in contents if file.name != docker_files.KEY_FILE)
    trusted = (
        f"trusts {address} through {places}, and is logged in there"
        if places
        else f"is logged in to {address}"
    )
    console.say(f"Docker {trusted} as {name}.")
    if outputs.get("registryMode") == "insecure":
        console.warn("The registry speaks plain HTTP (slipway:registry.insecure): for trying out only.")
    if "unencrypted" in result.stderr:
        console.warn(
            "Docker stores the password unencrypted, since no credential store is configured (`credsStore`)."
        )
    console.say(f"`./slip logout{stack.option}` undoes {'both' if contents else 'that'}.")


def choose(
    outputs: Mapping[str, Any], wanted: str | None, users: tuple[str, ...], option: str
) -> tuple[str, str]:
    """Name and password of the account to log in with, as the running registry has it.

    Args:
        outputs: the stack's outputs.
        wanted: the account's name; None for the first account.
        users: the accounts in the configuration, which may be newer than the running registry's.
        option: the option that names the stack on the command line.

    Raises:
        CommandError: the account does not exist, or is not in place yet.

    """
    passwords: Mapping[str, str] = outputs["registryPasswords"]
    running = [name for name in outputs["registryAccounts"] if name != HOSTS_ACCOUNT and name in passwords]
    if wanted == HOSTS_ACCOUNT:
        raise CommandError(
            f"the account '{wanted}' is for the stack's hosts only",
            f"Add an account for yourself: `./slip account add NAME{option}`.",
            status=2,
        )
    if wanted is None:
        if not running:
            raise CommandError(
                "the registry has no account for people",
                f"Add one: `./slip account add NAME{option}`, then `./slip up{option}`.",
            )
        wanted = next((name for name in users if name in running), running[0])
    if wanted in running:
        return wanted, passwords[wanted]
    if wanted in users:
        raise CommandError(
            f"the account '{wanted}' is in the configuration, but the registry does not have it yet",
            f"`./slip up{option}` puts it in place.",
        )
    if outputs.get("registryMode") == "external":
        raise CommandError(
            f"the stack has no password of the account '{wanted}' at {outputs['registryPublicAddress']}",
            f"It has the password of {', '.join(running)}. For another account, use `docker login`.",
        )
    raise CommandError(
        f"the registry has no account '{wanted}'",
        f"Accounts: {', '.join(running) or 'none'}. `./slip account add {wanted}{option}` adds it.",
    )


def _remedy(said: str, stack: Stack, folder: Path | None) -> str:
    if "unauthorized" in said.lower():
        return f"`./slip up{stack.option}` puts the accounts of the configuration in place."
    if "credential" in said:
        return (
            "Docker's credential store failed: correct it, or remove `credsStore` from Docker's config.json."
        )
    if "not yet valid" in said:
        return (
            f"Correct the clock of this machine. Then `./slip up{stack.option}` makes such certificates anew."
        )
    # Docker Desktop's own folder.
    if ("x509" in said or "certificate" in said) and folder and folder.parent.parent.name == ".docker":
        return RESTART
    return f"Check whether the registry answers: `./slip verify{stack.option}`."


def _withdraw(path: Path, before: LoginRecord | None) -> None:
    """Remove what a failed login has added to an earlier one."""
    record = LoginRecord.read(path)
    if record is None:
        return
    known = before or LoginRecord(record.address, {}, ())
    for file, sha256 in record.files.items():
        if file not in known.files:
            with contextlib.suppress(CommandError):
                docker_files.remove(Path(file), sha256)
    _remove_folders(folder for folder in record.folders if folder not in known.folders)
    if before is None:
        path.unlink()
        return
    # The login may have replaced a file, or have ended before that.
    files = {
        file: record.files[file] if _is_replaced(file, record) else sha256
        for file, sha256 in known.files.items()
    }
    LoginRecord(record.address, files, known.folders).write(path)


def _is_replaced(file: str, record: LoginRecord) -> bool:
    return docker_files.has(Path(file), record.files.get(file, ""))


def _remove_folders(folders: Iterable[str]) -> None:
    for folder in reversed([*folders]):
        # A folder with other files, or one that belongs to root, stays.
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def logout(project: Project, stack: str) -> None:
    """Undo the last login on this machine: Docker's login, the CA's file, and the folders made for it.

    Args:
        project: the clone.
        stack: the stack's name. The stack need not exist any more.

    Raises:
        CommandError: the file cannot be removed.

    """
    path = LoginRecord.path(project, stack.rpartition("/")[2])
    record = LoginRecord.read(path)
    if record is None:
        console.say(
            f"`./slip login` has not logged in to the stack '{stack}' on this machine: nothing to undo."
        )
        return
    _undo(record)
    path.unlink()


def _undo(record: LoginRecord) -> None:
    docker_command.refuse_unusable_config(record.address)
    result = docker_command.run("logout", record.address)
    if result.returncode:
        raise CommandError(f"docker logout {record.address}: {result.stderr.strip()}", status=1)
    said = "".join(docker_files.remove(Path(file), sha256) for file, sha256 in record.files.items())
    _remove_folders(record.folders)
    console.say(f"Docker is logged out of {record.address}{said}.")
