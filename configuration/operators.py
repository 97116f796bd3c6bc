"""`slipway:operators`: the people who may log in to the hosts, each by an SSH key of their own."""

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, StrictStr

from configuration.constraints import Matching, mistake

KEY_TYPES = (
    "ssh-ed25519",
    *("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    # Keys in hardware.
    *("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"),
    "ssh-rsa",
)
"""The types of OpenSSH 9.2, without certificates and DSA."""
RSA_BITS = 2048
"""The shortest RSA key: NIST SP 800-131A refuses shorter ones."""
_LENGTH = 4096
"""Characters. An RSA key of 16384 bits, the longest that OpenSSH makes, has 2776."""
_REMEDY = "Write the line of the public key, such as that of ~/.ssh/id_ed25519.pub."


def _public_key(text: str) -> str:
    """A line of a public key without its comment."""
    if "PRIVATE KEY" in text:
        raise mistake(
            "a private key", f"{_REMEDY} Whoever has seen the private key can use it: make a new one.", "…"
        )
    if len(text) > _LENGTH:
        raise mistake(f"{len(text)} characters long", _REMEDY, f"{text[:20]}…")
    parts = text.split()
    if "\n" in text.strip() or len(parts) < 2 or parts[0] not in KEY_TYPES:
        raise mistake("not a public key of SSH", _REMEDY)
    kind, encoded = parts[:2]
    try:
        fields = _fields(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise mistake("a public key of SSH that is cut or damaged", _REMEDY) from None
    if len(fields) < 2 or fields[0] != kind.encode():
        raise mistake(f"not the key of the type {kind} that it says it is", _REMEDY)
    if kind == "ssh-rsa" and (bits := int.from_bytes(fields[-1]).bit_length()) < RSA_BITS:
        raise mistake(
            f"an RSA key of {bits} bits",
            f"Use {RSA_BITS} at least, or make one with `ssh-keygen -t ed25519`.",
        )
    return f"{kind} {encoded}"


def _fields(content: bytes) -> list[bytes]:
    """The strings of a key, each after its length in four bytes (RFC 4253, section 6.6).

    Raises:
        ValueError: a string is cut.
    """
    found = []
    while content:
        length = int.from_bytes(content[:4])
        if len(content) < 4 + length:
            raise ValueError(content)
        found.append(content[4 : 4 + length])
        content = content[4 + length :]
    return found


OperatorName = Annotated[
    StrictStr,
    Matching(
        r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?",
        "not an operator's name",
        "Use at most 32 lower-case letters, digits and hyphens; begin with a letter and do not end with a hyphen.",
    ),
]
PublicKey = Annotated[StrictStr, AfterValidator(_public_key)]
