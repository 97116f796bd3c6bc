"""`slip login` and `slip logout`: this machine's Docker, for the stack's registry.

A login is noted in `.slipway/logins` before it is made, so that a logout undoes just that, even without the stack.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cli import console, docker_command
from cli.errors import CommandError
from cli.project import Project, write_private
from cli.stack_config import HOSTS_ACCOUNT
from cli.stacks import Stack

CA_FILE = "ca.crt"
"""Docker trusts each file of a registry's folder that ends so."""


@dataclass(frozen=True)
class Login:
    """What a login did to this machine."""

    address: str
    """`host:port` of the registry."""
    ca_file: str
    """Where the registry's CA is for Docker; empty if it needs none."""
    ca_sha256: str
    """Of what the login wrote there; empty if the file was there already."""
    folders: tuple[str, ...]
    """The folders that were made for it, each before those in it."""


def login(stack: Stack, account: str | None) -> None:
    """Let this machine's Docker trust the stack's registry, and log in.

    Args:
        stack: the stack, which is up.
        account: whom to log in as; by default the first of `slipway:registry.users`.

    Raises:
        CommandError: there is no such account, the CA cannot be put in place, or the registry refuses the login.

    """
    outputs = stack.outputs()
    if missing := [key for key in _NEEDED if key not in outputs]:
        raise CommandError(
            f"the stack '{stack.name}' does not say {', '.join(missing)}: it is not up",
            f"Run `./slip up{stack.option}` first.",
        )
    name, password = choose(outputs, account, stack.config.users, stack.option)
    address = str(outputs["registryPublicAddress"])
    ca = str(outputs["registryCaCertificate"])
    file = docker_command.certificates_directory() / address / CA_FILE if ca else None
    note = _note(stack.project, stack.short_name)
    before = _read(note)
    if before and (before.address, before.ca_file) != (address, str(file or "")):
        _undo(before)
        note.unlink()
        before = None
    if file:
        _trust(stack, address, file, ca, before)
    elif not before:
        _write(note, Login(address, "", "", ()))
    result = docker_command.run("login", address, "--username", name, "--password-stdin", stdin=password)
    if result.returncode:
        raise CommandError(
            f"docker login {address}: {result.stderr.strip().replace(password, '…')}",
            _remedy(result.stderr, stack),
            status=1,
        )
    trusted = f"trusts {address} by {file}, and is logged in there" if file else f"is logged in to {address}"
    console.say(f"Docker {trusted} as {name}.")
    if outputs.get("registryMode") == "insecure":
        console.warn("That registry speaks plain HTTP (slipway:registry.insecure): for trying out only.")
    if "unencrypted" in result.stderr:
        console.warn("It keeps the password unencrypted, as it has no credential store (`credsStore`).")
    console.say(f"`./slip logout{stack.option}` undoes {'both' if file else 'that'}.")


_NEEDED = ("registryPublicAddress", "registryCaCertificate", "registryAccounts", "registryPasswords")


def choose(
    outputs: Mapping[str, Any], wanted: str | None, users: tuple[str, ...], option: str
) -> tuple[str, str]:
    """Name and password of the account to log in with, as the running registry knows it.

    Args:
        outputs: the stack's.
        wanted: the account that was asked for.
        users: the accounts of the configuration, which may be ahead of what runs.
        option: how to name the stack on the command line.

    Raises:
        CommandError: there is no such account, or it is not in place yet.

    """
    passwords: Mapping[str, str] = outputs["registryPasswords"]
    running = [name for name in outputs["registryAccounts"] if name != HOSTS_ACCOUNT and name in passwords]
    if wanted == HOSTS_ACCOUNT:
        raise CommandError(
            f"the account '{wanted}' is the stack's own hosts'",
            f"Make one: `./slip account add NAME{option}`.",
            status=2,
        )
    if wanted is None:
        if not running:
            raise CommandError(
                "the registry has no account for people",
                f"`./slip account add NAME{option}`, then `./slip up{option}`, makes one.",
            )
        wanted = next((name for name in users if name in running), running[0])
    if wanted in running:
        return wanted, passwords[wanted]
    if wanted in users:
        raise CommandError(
            f"the account '{wanted}' is in the configuration, but the registry does not know it yet",
            f"`./slip up{option}` puts it in place.",
        )
    raise CommandError(
        f"the registry has no account '{wanted}'",
        f"Accounts: {', '.join(running) or 'none'}. `./slip account add {wanted}{option}` makes this one.",
    )


def _remedy(said: str, stack: Stack) -> str:
    if "unauthorized" in said.lower():
        return f"`./slip up{stack.option}` puts the accounts in place as the configuration has them."
    if "x509" in said or "certificate" in said:
        return (
            "Docker Desktop has to be restarted once before it trusts a new authority; then run this again."
        )
    return f"See whether the registry answers: `./slip verify{stack.option}`."


def _trust(stack: Stack, address: str, file: Path, ca: str, before: Login | None) -> None:
    """Put the CA where the engine looks for it, unless it is there."""
    note = _note(stack.project, stack.short_name)
    try:
        present = file.read_bytes() if file.exists() else None
        ours = before is not None and before.ca_sha256 != "" and before.ca_sha256 == _sha256(present)
        if present is not None and present.strip() == ca.strip().encode():
            if not before:
                _write(note, Login(address, str(file), "", ()))
            return
        if present is not None and not ours:
            raise CommandError(
                f"{file} has another authority, which `./slip login` did not write",
                f"See whose it is (`openssl x509 -noout -subject -in '{file}'`), and move it away.",
            )
        new = [str(folder) for folder in reversed(file.parents) if not folder.exists()]
        folders = sorted({*new, *(before.folders if before else ())}, key=len)
        _write(note, Login(address, str(file), _sha256(ca.encode()), tuple(folders)))
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.new")
        temporary.write_text(ca, encoding="utf-8")
        temporary.chmod(0o644)
        temporary.replace(file)
    except PermissionError as error:
        if not before:
            note.unlink(missing_ok=True)
        raise CommandError(
            f"{error.filename} is not yours to write, and Docker looks for the registry's CA in {file}",
            f"Run `./slip output registryCaCertificate{stack.option} | sudo install -D -m 644 /dev/stdin '{file}'`, "
            f"then `./slip login{stack.option}` again.",
        ) from error


def logout(project: Project, stack: str) -> None:
    """Undo what the last login did on this machine: Docker's login, the CA's file, and the folders made for it.

    Args:
        project: the clone.
        stack: the stack's name. It need not be there any more.

    Raises:
        CommandError: the file cannot be removed.

    """
    note = _note(project, stack.rpartition("/")[2])
    done = _read(note)
    if done is None:
        console.say(
            f"`./slip login` has not logged in to the stack '{stack}' on this machine: there is nothing to undo."
        )
        return
    _undo(done)
    note.unlink()


def _undo(done: Login) -> None:
    result = docker_command.run("logout", done.address)
    if result.returncode:
        raise CommandError(f"docker logout {done.address}: {result.stderr.strip()}", status=1)
    kept = "; its CA stays, as it was there before" if done.ca_file else ""
    if done.ca_sha256:
        kept = _remove(done)
    console.say(f"Docker is logged out of {done.address}{kept}.")


def _remove(done: Login) -> str:
    """Remove the CA that a login wrote, if it still is the same. Returns what to say about it."""
    file = Path(done.ca_file)
    try:
        if not file.exists():
            said = ""
        elif _sha256(file.read_bytes()) != done.ca_sha256:
            return f"; {file} stays, as somebody has changed it since"
        else:
            file.unlink()
            said = f", and {file} is removed"
    except PermissionError as error:
        raise CommandError(
            f"{error.filename} is not yours to remove",
            f"Run `sudo rm '{file}'`, then this again.",
            status=1,
        ) from error
    for folder in reversed(done.folders):
        # One that others use too, or that is root's, stays: an empty folder is in nobody's way.
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return said


def _sha256(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _note(project: Project, stack: str) -> Path:
    return project.private / "logins" / f"{stack}.json"


def _read(note: Path) -> Login | None:
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        return Login(**{**content, "folders": tuple(content["folders"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _write(note: Path, done: Login) -> None:
    write_private(note, json.dumps(asdict(done)))
