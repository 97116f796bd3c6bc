"""The htpasswd file of the registry's accounts: bcrypt hashes. The same passwords give the same text."""

from collections.abc import Mapping

from components.bcrypt_hash import bcrypt_hash

COST = 5
"""bcrypt's cost, the binary logarithm of its rounds: the default of Apache's `htpasswd -B`. The registry computes
the hash at each request, so a higher cost slows down every pull. The passwords are long and random, which makes them
safe."""


def entry(account: str, password: str) -> str:
    """A line of the file."""
    return f"{account}:{bcrypt_hash('slipway registry account', account, password, COST)}"


def htpasswd(passwords: Mapping[str, str]) -> str:
    """The file, a line for each account, in the order of their names."""
    return "\n".join(entry(account, password) for account, password in sorted(passwords.items()))
