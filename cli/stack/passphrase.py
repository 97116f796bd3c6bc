"""The passphrase that encrypts a stack's secrets: whether it is the right one, as Pulumi itself would find out."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from cli.stack.config import StackConfig
from cli.stack.deployment import Deployment
from cli.stack.project import Project

ITERATIONS = 1_000_000
"""Of PBKDF2, in Pulumi's passphrase provider (pkg/secrets/passphrase, `SymmetricCrypterFromPassphrase`)."""
KNOWN_TEXT = b"pulumi"
"""What a salt has encrypted, so that the passphrase can be checked."""


def current(project: Project, variables: Mapping[str, str]) -> str:
    """The passphrase that Pulumi would get: the user's, or the clone's; empty if there is none."""
    if "PULUMI_CONFIG_PASSPHRASE" in variables:
        return variables["PULUMI_CONFIG_PASSPHRASE"]
    path = Path(variables.get("PULUMI_CONFIG_PASSPHRASE_FILE") or project.passphrase_file)
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def salts(config: StackConfig, state: Deployment) -> tuple[str, ...]:
    """The salts of a stack's configuration and of its state, which are the same unless one of them is foreign."""
    provider = state.get("secrets_providers") or {}
    of_state = (provider.get("state") or {}).get("salt") if provider.get("type") == "passphrase" else None
    found = (config.content.get("encryptionsalt"), of_state)
    return tuple(dict.fromkeys(salt for salt in found if isinstance(salt, str) and salt))


def fits(phrase: str, salt: str) -> bool:
    """Whether this passphrase belongs to a salt. It takes half a second, by design.

    Args:
        phrase: the passphrase.
        salt: as in `encryptionsalt`: `v1:SALT:v1:NONCE:CIPHERTEXT`, in Base64.

    """
    try:
        return opens(derived(phrase, salt), salt)
    except ValueError:
        return False


def derived(phrase: str, salt: str) -> bytes:
    """The key that a passphrase gives with a salt. It takes half a second, by design.

    Raises:
        ValueError: this is no salt.

    """
    _, own, *_ = salt.split(":")
    return hashlib.pbkdf2_hmac("sha256", phrase.encode(), base64.b64decode(own), ITERATIONS, 32)


def opens(key: bytes, salt: str) -> bool:
    """Whether a key decrypts what the salt has encrypted."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        _, _, _, nonce, ciphertext = salt.split(":")
        text = AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(ciphertext), None)
    except (ValueError, InvalidTag):
        return False
    return text == KNOWN_TEXT


def way_out(*, local: bool, option: str) -> str:
    """What to do without the right passphrase.

    Args:
        local: whether the stack is on the platform `local`.
        option: the option that names the stack on the command line.

    """
    restore = (
        "Set PULUMI_CONFIG_PASSPHRASE_FILE to a file with the right one, or restore .slipway/passphrase."
    )
    if not local:
        return f"{restore} Without it, nothing can decrypt the state: remove the stack's machines by hand."
    return (
        f"{restore} If it is lost, `./slip down --without-state{option}` removes the hosts, keeps the registry's "
        f"images, and takes the secrets out of the configuration; then `./slip up{option}` makes all of it anew."
    )
