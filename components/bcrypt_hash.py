"""bcrypt hashes of passwords. The same password has the same hash: a random salt would show a change at each `up`."""

import base64
import hashlib

import bcrypt

_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def bcrypt_hash(purpose: str, owner: str, password: str, cost: int) -> str:
    """A password's hash.

    Args:
        purpose: what it is for.
        owner: whose it is. Two owners of the same password have different salts.
        password: the password, of 72 bytes at most.
        cost: the binary logarithm of the rounds.
    """
    seed = hashlib.sha256(b"\0".join([purpose.encode(), owner.encode(), password.encode()])).digest()
    salt = base64.b64encode(seed[:16]).rstrip(b"=").translate(bytes.maketrans(_STANDARD, _BCRYPT))
    return bcrypt.hashpw(password.encode(), b"$2b$%02d$%s" % (cost, salt)).decode()
