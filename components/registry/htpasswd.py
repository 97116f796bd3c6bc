"""The htpasswd file of the registry's accounts: bcrypt hashes. The same passwords give the same text."""

import base64
import hashlib
from collections.abc import Mapping

import bcrypt

COST = 5
"""bcrypt's cost, the binary logarithm of its rounds: the default of Apache's `htpasswd -B`. The registry computes
the hash at each request, so a higher cost slows down every pull. The passwords are long and random, which makes them
safe."""

_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def entry(account: str, password: str) -> str:
    """A line of the file.

    The salt is derived from the account and its password, since a random salt would show a change at each `up`. Two
    accounts with the same password have different salts.
    """
    seed = hashlib.sha256(
        b"\0".join([b"slipway registry account", account.encode(), password.encode()])
    ).digest()
    salt = base64.b64encode(seed[:16]).rstrip(b"=").translate(bytes.maketrans(_STANDARD, _BCRYPT))
    digest = bcrypt.hashpw(password.encode(), b"$2b$%02d$%s" % (COST, salt))
    return f"{account}:{digest.decode()}"


def htpasswd(passwords: Mapping[str, str]) -> str:
    """The file, a line for each account, in the order of their names."""
    return "\n".join(entry(account, password) for account, password in sorted(passwords.items()))
