"""restic for tests, on this machine: from its PATH, or from Debian's package, which is not installed.

`python -m tests.support.restic WORD…`, with the words of an order to restic that made a key, changes the key: it then
opens at once.
"""

import argparse
import base64
import hashlib
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache as once
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

from toolchain import apt, cache


@once
def program() -> Path:
    """Restic's path; the test is skipped without it, and fails where nothing may be skipped."""
    if found := shutil.which("restic"):
        return Path(found)
    target = cache.root() / "restic" / "usr/bin/restic"
    if not target.is_file():
        with cache.lock("restic", lambda _: None):
            if not target.is_file() and not _unpack(target.parents[2]):
                missing = "restic is missing, and apt has no package of it: install restic"
                if os.environ.get("CI"):
                    pytest.fail(missing)
                pytest.skip(missing)
    return target


def _unpack(folder: Path) -> bool:
    """Download Debian's package and unpack it there. Whether that worked."""
    if not shutil.which("apt-get"):
        return False
    with cache.staged(folder) as staged:
        download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "restic"]
        if subprocess.run(download, cwd=staged, check=False).returncode:
            if not apt.allowed():
                return False
            subprocess.run(["apt-get", "-qq", "update"], check=True)
            subprocess.run(download, cwd=staged, check=True)
        (package,) = staged.glob("restic_*.deb")
        subprocess.run(["dpkg", "-x", package, staged / "tree"], check=True)
        cache.publish(staged / "tree", folder)
    return True


def quick(folder: Path) -> Path:
    """Write a program `restic` to a folder: restic itself, whose keys open at once. Returns its path.

    restic derives a key from a password for half a second, at each start. That is its protection of the password, and
    nearly all that a test of it takes. An object store's keys stay as they are, until the test calls `eased`.
    """
    path = folder / "restic"
    real, root = shlex.quote(str(program())), shlex.quote(str(Path(__file__).parents[2]))
    eases = f"PYTHONPATH={root} {shlex.quote(sys.executable)} -m {__name__}"
    path.write_text(
        f'#!/bin/sh\n{real} "$@" || exit\ncase " $* " in *" init "* | *" key add "*) {eases} "$@" ;; esac\n'
    )
    path.chmod(0o755)
    return path


def _ease(words: list[str]) -> None:
    """Replace the keys of a repository in a folder."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-r", type=Path)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--new-password-file", type=Path)
    given, _ = parser.parse_known_args(words)
    files = (given.password_file, given.new_password_file)
    passwords = [file.read_text().rstrip("\n") for file in files if file]
    for path in (given.r / "keys").glob("*"):
        if key := eased(path.read_bytes(), [*passwords, os.environ.get("RESTIC_PASSWORD", "")]):
            # The name of a file of restic is the checksum of its content.
            (path.parent / hashlib.sha256(key).hexdigest()).write_bytes(key)
            path.unlink()


def eased(file: bytes, passwords: Iterable[str]) -> bytes | None:
    """A file of a key, changed so that one of the passwords opens it at once; None if it has been, or none opens it.

    Source: "Keys, Encryption and MAC" in restic's design document.
    """
    key = json.loads(file)
    if key["N"] == _EASY["N"]:
        return None
    for password in passwords:
        try:
            content = _open(base64.b64decode(key["data"]), _derived(password, key))
        except InvalidSignature:
            continue
        changed = {**key, **_EASY}
        sealed = _seal(content, _derived(password, changed))
        return json.dumps({**changed, "data": base64.b64encode(sealed).decode()}).encode()
    return None


_EASY = {"N": 2, "r": 1, "p": 1}
"""The least that scrypt takes."""


def _derived(password: str, key: dict[str, Any]) -> bytes:
    salt, cost = base64.b64decode(key["salt"]), {"n": key["N"], "r": key["r"], "p": key["p"]}
    return hashlib.scrypt(password.encode(), salt=salt, **cost, maxmem=2**28, dklen=64)


def _open(sealed: bytes, derived: bytes) -> bytes:
    nonce, content = sealed[:16], sealed[16:-16]
    _mac(nonce, content, derived).verify(sealed[-16:])
    return _cipher(nonce, derived).decryptor().update(content)


def _seal(content: bytes, derived: bytes) -> bytes:
    nonce = secrets.token_bytes(16)
    encrypted = _cipher(nonce, derived).encryptor().update(content)
    return nonce + encrypted + _mac(nonce, encrypted, derived).finalize()


def _cipher(nonce: bytes, derived: bytes) -> Cipher[modes.CTR]:
    return Cipher(algorithms.AES(derived[:32]), modes.CTR(nonce))


def _mac(nonce: bytes, content: bytes, derived: bytes) -> Poly1305:
    """Poly1305-AES."""
    once_only = Cipher(algorithms.AES(derived[32:48]), modes.ECB()).encryptor().update(nonce)
    mac = Poly1305(derived[48:64] + once_only)
    mac.update(content)
    return mac


if __name__ == "__main__":
    _ease(sys.argv[1:])
