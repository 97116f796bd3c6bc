"""The files by which this machine's Docker trusts a registry: its CA, and the account's client certificate."""

import hashlib
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli.errors import CommandError
from cli.registry.login_record import LoginRecord
from cli.running.stack import client_certificate_of
from cli.stack.stack import Stack

CA_FILE = "ca.crt"
"""Docker trusts each `*.crt` file in a registry's folder."""
CERTIFICATE_FILE, KEY_FILE = "client.cert", "client.key"
"""Docker presents each pair of `*.cert` and `*.key` files to a registry that asks for client certificates."""


def contents(folder: Path, outputs: Mapping[str, Any], account: str) -> dict[Path, str]:
    """The files for the registry's folder, with their contents; none for a registry that speaks plain HTTP.

    The client certificate comes last: Docker fails if its key is missing.
    """
    found: dict[Path, str] = {}
    if ca := str(outputs["registryCaCertificate"]):
        found[folder / CA_FILE] = ca
    if certificate := client_certificate_of(outputs, account):
        _refuse_loopback(str(outputs["registryPublicAddress"]))
        found |= {folder / KEY_FILE: certificate[1], folder / CERTIFICATE_FILE: certificate[0]}
    return found


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
            "The stack's hosts present theirs. So can curl: its `--cert` and `--key` take what "
            "`./slip account certificate NAME` prints without and with `--key`.",
        )


def place(
    stack: Stack, address: str, account: str, contents: Mapping[Path, str], before: LoginRecord | None
) -> None:
    """Write the missing files where the engine reads them, and remove files of an earlier login beside them."""
    path = LoginRecord.path(stack.project, stack.short_name)
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
            remove(Path(name), written.pop(name))
        if not missing:
            LoginRecord(address, written, before.folders if before else ()).write(path)
            return
        folder = next(iter(contents)).parent
        new = [str(parent) for parent in reversed([folder, *folder.parents]) if not parent.exists()]
        folders = sorted({*new, *(before.folders if before else ())}, key=len)
        written |= {str(file): _sha256(content.encode()) for file, content in missing.items()}
        LoginRecord(address, written, tuple(folders)).write(path)
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in missing.items():
            temporary = file.with_name(f".{file.name}.new")
            try:
                temporary.touch(mode=0o600)
                temporary.write_text(content, encoding="utf-8")
                temporary.chmod(_mode(file))
                temporary.replace(file)
            finally:
                temporary.unlink(missing_ok=True)
    except PermissionError as error:
        if not before:
            path.unlink(missing_ok=True)
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


def remove(file: Path, sha256: str) -> str:
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


def has(file: Path, sha256: str) -> bool:
    """Whether a file exists with this content."""
    try:
        return bool(sha256) and _sha256(file.read_bytes()) == sha256
    except OSError:
        return False


def _sha256(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()
