"""`slip login` and `slip logout`: this machine's Docker trusts the stack's registry, and logs in.

A login is recorded in `.slipway/logins` before it is done, so that a logout undoes just that, even without the stack.
"""

import contextlib
import hashlib
import ipaddress
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli import console
from cli.errors import CommandError
from cli.registry import docker_command
from cli.running.stack import client_certificate_of
from cli.stack.project import Project, write_private
from cli.stack.stack import Stack
from well_known import HOSTS_ACCOUNT

CA_FILE = "ca.crt"
"""Docker trusts each `*.crt` file in a registry's folder."""
CERTIFICATE_FILE, KEY_FILE = "client.cert", "client.key"
"""Docker presents each pair of `*.cert` and `*.key` files to a registry that asks for client certificates."""


@dataclass(frozen=True)
class Login:
    """A login's changes on this machine."""

    address: str
    """`host:port` of the registry."""
    files: dict[str, str]
    """Docker's files for it, each with the SHA-256 of what the login wrote; empty for a file that existed before."""
    folders: tuple[str, ...]
    """The folders that the login made, outer ones first."""


def login(stack: Stack, account: str | None) -> None:
    """Make this machine's Docker trust the stack's registry, and log in.

    Args:
        stack: the stack, which is up.
        account: the account; by default the first of `slipway:registry.users`.

    Raises:
        CommandError: the account does not exist, the CA cannot be installed, or the registry refuses the login.

    """
    outputs = stack.outputs()
    if missing := [key for key in _NEEDED if key not in outputs]:
        raise CommandError(
            f"the stack '{stack.name}' is not up: it has no output {', '.join(missing)}",
            f"Run `./slip up{stack.option}` first.",
        )
    name, password = choose(outputs, account, stack.config.users, stack.option)
    address = str(outputs["registryPublicAddress"])
    contents = _contents(docker_command.certificates_directory() / address, outputs, name)
    note = _note(stack.project, stack.short_name)
    before = _read(note)
    if before and (before.address, _folder(before.files)) != (address, _folder(map(str, contents))):
        _undo(before)
        note.unlink()
        before = None
    _place(stack, address, name, contents, before)
    result = docker_command.run("login", address, "--username", name, "--password-stdin", stdin=password)
    if result.returncode:
        raise CommandError(
            f"docker login {address}: {result.stderr.strip().replace(password, '…')}",
            _remedy(result.stderr, stack),
            status=1,
        )
    places = " and ".join(str(file) for file in contents if file.name != KEY_FILE)
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


_NEEDED = ("registryPublicAddress", "registryCaCertificate", "registryAccounts", "registryPasswords")


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


def _remedy(said: str, stack: Stack) -> str:
    if "unauthorized" in said.lower():
        return f"`./slip up{stack.option}` puts the accounts of the configuration in place."
    if "x509" in said or "certificate" in said:
        return "Docker Desktop must be restarted once before it trusts a new CA. Then run this again."
    return f"Check whether the registry answers: `./slip verify{stack.option}`."


def _contents(folder: Path, outputs: Mapping[str, Any], account: str) -> dict[Path, str]:
    """The files for the registry's folder, with their contents; none for a registry that speaks plain HTTP.

    The client certificate comes last: Docker fails if its key is missing.
    """
    contents: dict[Path, str] = {}
    if ca := str(outputs["registryCaCertificate"]):
        contents[folder / CA_FILE] = ca
    if certificate := client_certificate_of(outputs, account):
        _refuse_loopback(str(outputs["registryPublicAddress"]))
        contents |= {folder / KEY_FILE: certificate[1], folder / CERTIFICATE_FILE: certificate[0]}
    return contents


def _folder(files: Iterable[str]) -> Path | None:
    return next((Path(file).parent for file in files), None)


def _refuse_loopback(address: str) -> None:
    """Refuse a registry on a loopback address: Docker reads no certificates for those, as it does not verify them."""
    host = urlsplit(f"//{address}").hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if loopback:
        raise CommandError(
            f"the registry asks for a client certificate, and Docker presents none to a registry on {host}",
            "The stack's hosts can log in. So can curl, with `--cert` and `--key`: `./slip account certificate NAME` "
            "prints both.",
        )


def _place(
    stack: Stack, address: str, account: str, contents: Mapping[Path, str], before: Login | None
) -> None:
    """Write the missing files where the engine reads them, and remove files of an earlier login beside them."""
    note = _note(stack.project, stack.short_name)
    written = dict(before.files) if before else {}
    try:
        missing: dict[Path, str] = {}
        for file, content in contents.items():
            if file.name == KEY_FILE and file.exists() and not os.access(file, os.R_OK):
                # Only root can read the key, as it should be. Its certificate shows whether the pair is the right one.
                written.setdefault(str(file), "")
                continue
            present = file.read_bytes() if file.exists() else None
            if present is not None and present.strip() == content.strip().encode():
                written.setdefault(str(file), "")
            elif present is None or (written.get(str(file)) or None) == _sha256(present):
                missing[file] = content
            else:
                raise CommandError(
                    f"{file} has another {_noun(file)}, which `./slip login` did not write",
                    f"Check whose it is (`openssl x509 -noout -subject -in '{file}'`), and move it away.",
                )
        for name in [name for name in written if Path(name) not in contents]:
            _remove(Path(name), written.pop(name))
        if not missing:
            _write(note, Login(address, written, before.folders if before else ()))
            return
        folder = next(iter(contents)).parent
        new = [str(parent) for parent in reversed([folder, *folder.parents]) if not parent.exists()]
        folders = sorted({*new, *(before.folders if before else ())}, key=len)
        written |= {str(file): _sha256(content.encode()) for file, content in missing.items()}
        _write(note, Login(address, written, tuple(folders)))
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in missing.items():
            temporary = file.with_name(f".{file.name}.new")
            temporary.touch(mode=0o600)
            temporary.write_text(content, encoding="utf-8")
            temporary.chmod(_mode(file))
            temporary.replace(file)
    except PermissionError as error:
        if not before:
            note.unlink(missing_ok=True)
        raise CommandError(
            f"you may not write {error.filename}, and Docker reads the registry's CA from {next(iter(contents))}",
            f"Run {' and '.join(_by_hand(stack, account, file) for file in contents)}, "
            f"then `./slip login{stack.option}` again.",
        ) from error


def _noun(file: Path) -> str:
    return {CA_FILE: "authority", CERTIFICATE_FILE: "certificate", KEY_FILE: "key"}[file.name]


def _mode(file: Path) -> int:
    return 0o600 if file.name == KEY_FILE else 0o644


def _by_hand(stack: Stack, account: str, file: Path) -> str:
    """The command with which an administrator writes a file."""
    source = {
        CA_FILE: "output registryCaCertificate",
        CERTIFICATE_FILE: f"account certificate {account}",
        KEY_FILE: f"account certificate {account} --key",
    }[file.name]
    return f"`./slip {source}{stack.option} | sudo install -D -m {_mode(file):o} /dev/stdin '{file}'`"


def logout(project: Project, stack: str) -> None:
    """Undo the last login on this machine: Docker's login, the CA's file, and the folders made for it.

    Args:
        project: the clone.
        stack: the stack's name. The stack need not exist any more.

    Raises:
        CommandError: the file cannot be removed.

    """
    note = _note(project, stack.rpartition("/")[2])
    done = _read(note)
    if done is None:
        console.say(
            f"`./slip login` has not logged in to the stack '{stack}' on this machine: nothing to undo."
        )
        return
    _undo(done)
    note.unlink()


def _undo(done: Login) -> None:
    result = docker_command.run("logout", done.address)
    if result.returncode:
        raise CommandError(f"docker logout {done.address}: {result.stderr.strip()}", status=1)
    said = "".join(_remove(Path(file), sha256) for file, sha256 in done.files.items())
    for folder in reversed(done.folders):
        # A folder with other files, or one that belongs to root, stays.
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    console.say(f"Docker is logged out of {done.address}{said}.")


def _remove(file: Path, sha256: str) -> str:
    """Remove a file that a login wrote, if it is unchanged. Returns what to print about it."""
    if not sha256:
        return f"; {'its CA' if file.name == CA_FILE else file} stays, since it existed before"
    try:
        if not file.exists():
            return ""
        if _sha256(file.read_bytes()) != sha256:
            return f"; {file} stays, since it was changed after the login"
        file.unlink()
    except PermissionError as error:
        raise CommandError(
            f"you may not remove {error.filename}",
            f"Run `sudo rm '{file}'`, then this again.",
            status=1,
        ) from error
    return f", and {file} is removed"


def _sha256(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _note(project: Project, stack: str) -> Path:
    return project.private / "logins" / f"{stack}.json"


def _read(note: Path) -> Login | None:
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        if "ca_file" in content:
            # The format of versions without client certificates.
            file, sha256 = content.pop("ca_file"), content.pop("ca_sha256")
            content["files"] = {file: sha256} if file else {}
        return Login(**{**content, "folders": tuple(content["folders"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _write(note: Path, done: Login) -> None:
    write_private(note, json.dumps(asdict(done)))
