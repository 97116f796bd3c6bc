"""The lines of `~/.ssh/authorized_keys` by which people may push, and do nothing else."""

import base64
import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from cli.errors import CommandError

_KEY = re.compile(
    r"(?P<key>(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ (?P<blob>[A-Za-z0-9+/]+={0,3}))(?: .*)?"
)
"""A public key's line. `up` has checked it (`configuration/operators.py`); here it must not be anything else."""


def fingerprint(line: str) -> str:
    """A key's fingerprint as OpenSSH shows it, without `SHA256:`; empty if the line is none."""
    found = _KEY.fullmatch(line.strip())
    if not found:
        return ""
    try:
        blob = base64.b64decode(found["blob"], validate=True)
    except ValueError:
        return ""
    return base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def name_of(operators: Mapping[str, str], printed: str) -> str:
    """The operator with the key of this fingerprint; empty if nobody has it."""
    return next((name for name, line in sorted(operators.items()) if fingerprint(line) == printed), "")


def lines(keys: Iterable[str], launcher: Path, mark: str) -> list[str]:
    """A line for each key. It allows one command, whatever is asked for: no shell, no forwarding, no terminal.

    Args:
        keys: the public keys, perhaps the same one several times.
        launcher: the script that starts `slip`.
        mark: the comment by which the lines are found again.

    """
    found = {}
    for line in keys:
        if (printed := fingerprint(line)) and (match := _KEY.fullmatch(line.strip())):
            command = f"{shlex.quote(str(launcher))} git-remote serve {printed}"
            quoted = command.replace("\\", "\\\\").replace('"', '\\"')
            found[printed] = f'restrict,command="{quoted}" {match["key"]} {mark}'
    return [found[printed] for printed in sorted(found)]


def mark_of(root: Path) -> str:
    """The comment of a clone's lines."""
    return f"slipway-git-remote:{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"


def write(ours: Iterable[str], mark: str, home: Path) -> list[str]:
    """Put our lines into `authorized_keys` in place of those that were there. All other lines stay as they are.

    Returns the keys that another line of the file lets in before ours, so without a limit.

    Args:
        ours: the new lines, each with the mark at its end.
        mark: the mark.
        home: the user's home.

    Raises:
        CommandError: the file cannot be read or written.

    """
    path = (home / ".ssh/authorized_keys").resolve()
    mine = [*ours]
    try:
        before = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
        kept = [line for line in before.split("\n") if not line.rstrip().endswith(f" {mark}")]
        while kept and not kept[-1]:
            kept.pop()
        after = "".join(f"{line}\n" for line in (*kept, *mine))
        if after != (before if before.endswith("\n") or not before else f"{before}\n"):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            new = path.with_name(f".{path.name}.{os.getpid()}.new")
            new.touch(mode=0o600)
            new.write_text(after, encoding="utf-8", errors="surrogateescape")
            new.replace(path)
    except OSError as error:
        raise CommandError(
            f"{path} cannot be written: {error.strerror}",
            "Those who push are let in by that file: let this user write it.",
        ) from error
    blobs = {line.split(" ")[-2] for line in mine}
    return sorted({word for line in kept for word in line.split() if word in blobs and line[:1] != "#"})
