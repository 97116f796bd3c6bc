"""Whether the passphrase opens the encrypted values of a stack's file: Pulumi's own errors name neither file nor key.

The format is Pulumi's: `v1:<nonce>:<ciphertext>`, AES-256-GCM, with a key of PBKDF2-HMAC-SHA256, 1,000,000 rounds. The
key takes a third of a second, so what was found good is recorded.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cli.errors import CommandError
from cli.stack.config import StackConfig
from cli.stack.project import Project, write_private
from stackfile.document import Location, show

ROUNDS, KEY_LENGTH = 1_000_000, 32
CHECK = "pulumi"
"""The text that the salt's own ciphertext has."""
TAG_LENGTH = 2
"""Bytes of the recorded tag: too few to try passphrases against, enough to notice another one."""


def check(project: Project, stack: str, config: StackConfig, variables: Mapping[str, str]) -> None:
    """Refuse a file whose secrets the passphrase does not open.

    Args:
        project: the clone.
        stack: the stack's name, without an organization.
        config: its configuration.
        variables: the environment of Pulumi's commands, which says where the passphrase is.

    Raises:
        CommandError: the passphrase is not that of the file, or some of its values are encrypted by another one.

    """
    salt = config.content.get("encryptionsalt")
    passphrase = _passphrase(variables)
    if not isinstance(salt, str) or passphrase is None or config.has_secrets_provider:
        return
    values = dict(_encrypted(config.content.get("config"), ("config",)))
    record = project.private / "opened" / stack
    tag = _tag(project, passphrase, salt, values)
    if record.is_file() and record.read_text() == tag:
        return
    _open(project.config_file(stack), salt, values, passphrase, stack)
    write_private(record, tag)


def secrets(config: StackConfig, variables: Mapping[str, str], names: list[str]) -> dict[str, str] | None:
    """Secrets of `slipway:secrets` in plain text; they must not leave this process. It takes a third of a second.

    None if no passphrase has encrypted them, or another one: Pulumi's own commands say why.

    Args:
        config: the stack's configuration, which has these secrets.
        variables: as of `check`.
        names: the names of the secrets.

    """
    salt, phrase = config.content.get("encryptionsalt"), _passphrase(variables)
    if not isinstance(salt, str) or phrase is None or config.has_secrets_provider:
        return None
    key = hashlib.pbkdf2_hmac("sha256", phrase, base64.b64decode(salt.split(":")[1]), ROUNDS, KEY_LENGTH)
    found = {}
    for name in names:
        value = config.setting("secrets")[name]
        text = _decrypted(key, value["secure"]) if isinstance(value, dict) else str(value)
        if text is None:
            return None
        found[name] = text
    return found


def _open(path: Path, salt: str, values: Mapping[Location, str], passphrase: bytes, stack: str) -> None:
    _, salted, check_value = salt.split(":", 2)
    key = hashlib.pbkdf2_hmac("sha256", passphrase, base64.b64decode(salted), ROUNDS, KEY_LENGTH)
    lines = path.read_text(encoding="utf-8").splitlines()
    if _decrypted(key, check_value) != CHECK:
        raise CommandError(
            f"the passphrase does not open the secrets of {path.name} (line {_line(lines, salt)}, encryptionsalt): "
            "they were encrypted with another passphrase",
            "Set PULUMI_CONFIG_PASSPHRASE_FILE to a file with that passphrase, or restore the file from git or a "
            "backup. If the passphrase is lost: remove `encryptionsalt`, `slipway:passwords` and `slipway:secrets` "
            f"from {path.name}; `./slip up` makes new passwords, and `./slip secret set NAME` sets the others.",
        )
    closed = {at: value for at, value in values.items() if _decrypted(key, value) is None}
    if closed:
        from stackfile.mistakes import remedy

        raise CommandError(
            f"the passphrase does not open {len(closed)} of the {len(values)} encrypted values in {path.name}; they "
            "were copied from another file, or changed:\n"
            + "\n".join(
                f"  {path.name}, line {_line(lines, value)}: {show(at)}. {remedy(at, stack)}"
                for at, value in closed.items()
            ),
        )


def _line(lines: list[str], value: str) -> int:
    return next((number for number, line in enumerate(lines, 1) if value in line), 0)


def _decrypted(key: bytes, value: str) -> str | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    _, nonce, ciphertext = value.split(":")
    try:
        return AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(ciphertext), None).decode()
    except (InvalidTag, ValueError):
        return None


def _encrypted(value: object, at: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(value, dict):
        secure = value.get("secure")
        if len(value) == 1 and isinstance(secure, str):
            yield at, secure
            return
        for key, entry in value.items():
            yield from _encrypted(entry, (*at, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _encrypted(entry, (*at, index))


def _passphrase(variables: Mapping[str, str]) -> bytes | None:
    """The passphrase as Pulumi reads it: the variable first, then the file without white space around it."""
    if "PULUMI_CONFIG_PASSPHRASE" in variables:
        return variables["PULUMI_CONFIG_PASSPHRASE"].encode()
    try:
        return Path(variables["PULUMI_CONFIG_PASSPHRASE_FILE"]).read_bytes().strip()
    except (KeyError, OSError):
        return None


def _tag(project: Project, passphrase: bytes, salt: str, values: Mapping[Any, str]) -> str:
    file = project.private / "opened" / ".key"
    if not file.is_file():
        import secrets

        write_private(file, secrets.token_hex(16))
    text = "\0".join([salt, *sorted(values.values())]).encode()
    return hmac.new(file.read_bytes(), passphrase + b"\0" + text, hashlib.sha256).digest()[:TAG_LENGTH].hex()
