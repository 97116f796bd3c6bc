"""The thumbprint of an account's key, by which every host answers every challenge (RFC 8555, 8.1)."""

import base64
import hashlib
import json


def thumbprint(public_key_pem: str) -> str:
    """The thumbprint of an elliptic curve's public key as a JSON Web Key (RFC 7638), in base64url.

    Args:
        public_key_pem: a key on the curve P-256, PEM.
    """
    # Slow to import, and few stacks need it.
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(public_key_pem.encode())
    if not isinstance(key, EllipticCurvePublicKey):
        raise TypeError("not a key of an elliptic curve")
    point = key.public_numbers()
    members = {"crv": "P-256", "kty": "EC", "x": _base64url(point.x), "y": _base64url(point.y)}
    # Members in the order of their names, without white space.
    text = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return _encoded(hashlib.sha256(text.encode()).digest())


def _base64url(coordinate: int) -> str:
    return _encoded(coordinate.to_bytes(32, "big"))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
