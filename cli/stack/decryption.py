"""A state with its secrets in plain text, decrypted as Pulumi's passphrase provider does it.

The CLI takes most of a second for that, at every command. Half of it is PBKDF2, so the derived key is remembered.
"""

import base64
import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

from cli.stack import passphrase
from cli.stack.deployment import SECRET_SIGNATURE, Deployment, has_secret_shape
from cli.stack.project import write_private

_NONCE = 12
"""Bytes of a nonce of AES-GCM."""


def decrypted(state: Deployment, phrase: str, remembered: Path | None = None) -> Deployment | None:
    """The state as `pulumi stack export --show-secrets` has it. It must not leave this process.

    None if this passphrase does not decrypt it: Pulumi's own commands say why.

    Args:
        state: the state, with encrypted secrets.
        phrase: the passphrase.
        remembered: the file that keeps the derived key for the next command, encrypted with the passphrase.

    """
    salt = _salt(state)
    if not salt or not phrase:
        return None
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        key = _key(phrase, salt, remembered)
        if key is None:
            return None
        cipher = AESGCM(key)

        def clear(value: Any, *, is_inside: bool = False) -> Any:
            if isinstance(value, list):
                return [clear(item, is_inside=is_inside) for item in value]
            if not isinstance(value, dict):
                return value
            if not has_secret_shape(value):
                return {name: clear(item, is_inside=is_inside) for name, item in value.items()}
            text = str(value["ciphertext"])
            if is_inside:
                plain = text
            else:
                _, nonce, encrypted = text.split(":")
                plain = cipher.decrypt(base64.b64decode(nonce), base64.b64decode(encrypted), None).decode()
            if SECRET_SIGNATURE[0] in plain:
                # A secret that was made of others has them in it, which are not encrypted by themselves.
                plain = json.dumps(clear(json.loads(plain), is_inside=True))
            return {SECRET_SIGNATURE[0]: SECRET_SIGNATURE[1], "plaintext": plain}

        found: Deployment = clear(state)
    except (ValueError, KeyError, InvalidTag):
        return None
    return found


def _salt(state: Deployment) -> str:
    """The salt of a state that a passphrase encrypts, else empty."""
    provider = state.get("secrets_providers") or {}
    salt = (provider.get("state") or {}).get("salt") if provider.get("type") == "passphrase" else None
    return salt if isinstance(salt, str) else ""


def _key(phrase: str, salt: str, remembered: Path | None) -> bytes | None:
    """The key that belongs to a passphrase and a salt; None if the passphrase is another salt's."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    # The passphrase itself is random and long: one round is enough for what encrypts the remembered key.
    wrapping = AESGCM(hashlib.sha256(f"{salt}\0{phrase}".encode()).digest())
    if remembered is not None:
        try:
            wrapped = base64.b64decode(remembered.read_bytes())
            key = wrapping.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], None)
        except (OSError, ValueError, InvalidTag):
            pass  # none yet, or another salt's or passphrase's
        else:
            if passphrase.opens(key, salt):
                return key
    key = passphrase.derived(phrase, salt)
    if not passphrase.opens(key, salt):
        return None
    if remembered is not None:
        nonce = secrets.token_bytes(_NONCE)
        wrapped = nonce + wrapping.encrypt(nonce, key, None)
        write_private(remembered, base64.b64encode(wrapped).decode() + "\n")
    return key
