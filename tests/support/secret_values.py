"""A stack's secrets as they are in clear text, and where they occur."""

import contextlib
import json
import re
from base64 import b64decode
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.process_watch import ProcessWatch
from tests.support.stack import Stack

PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----\n(.+?)\n-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL
)


PROGRAMS_OWN = frozenset({"PULUMI_CONFIG"})
"""Variables with secrets that only the program has: by them Pulumi passes it the configuration."""


def secrets_of(stack: Stack) -> dict[str, str]:
    """The stack's secrets: the description of each, by a text that occurs in that secret only."""
    found: dict[str, str] = {}
    for text in _texts(stack.state_with_secrets()):
        for match in PRIVATE_KEY.finditer(text):
            found |= dict.fromkeys(_private_lines(match[0] + "\n", match[2]), f"{match[1]}private key")
    for account, password in stack.outputs()["registryPasswords"].items():
        found[password] = f"password of {account}"
    found[(stack.clone.root / ".slipway/passphrase").read_text().strip()] = "passphrase"
    return found


@contextlib.contextmanager
def no_process_shows(
    *stacks: Stack, more: Collection[str] = (), variables: Collection[str] = ()
) -> Iterator[None]:
    """Fail if a process of this machine or of a host shows a secret of the stacks while the block runs.

    Args:
        stacks: whose secrets.
        more: other secrets, which the configuration has.
        variables: the variables of environments that may have them.
    """
    with ProcessWatch() as watch:
        yield
    assert any(stacks[0].name in line for line in watch.command_lines), "the watch has seen no command"
    secrets = dict.fromkeys(more, "secret of the configuration")
    for stack in stacks:
        secrets |= secrets_of(stack)
    for line in watch.command_lines:
        assert leaks(secrets, line) == set(), line.split("\n")[0]
    for process, environment in watch.environments.items():
        shown = {line.partition("=")[0] for line in environment.split("\n") if leaks(secrets, line)}
        assert shown <= {*PROGRAMS_OWN, *variables}, (process.split("\n")[0], shown)


def leaks(secrets: dict[str, str], text: str) -> set[str]:
    """The descriptions of the secrets in a text."""
    return {what for secret, what in secrets.items() if secret in text}


def _texts(value: Any) -> Iterable[str]:
    """Every text in a state, and in its secrets, which are JSON in a text."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
        if isinstance(value.get("plaintext"), str):
            yield from _texts(json.loads(value["plaintext"]))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _private_lines(pem: str, body: str) -> Iterable[str]:
    """The lines of a private key that hold the private number. The others are public, or the same in all keys."""
    key: object
    if "OPENSSH" in pem:
        key = serialization.load_ssh_private_key(pem.encode(), None)
    else:
        key = serialization.load_pem_private_key(pem.encode(), None)
    if isinstance(key, EllipticCurvePrivateKey):
        # OpenSSH's format leaves out zeros at the start of a number, which one number in 256 has.
        secret = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big").lstrip(b"\0")
    else:
        assert isinstance(key, Ed25519PrivateKey), f"a key of a type that this test does not know: {key}"
        secret = key.private_bytes_raw()
    start = b64decode(body).index(secret)
    first, last = start * 4 // 3, (start + len(secret)) * 4 // 3
    position = 0
    for line in body.splitlines():
        if min(last, position + len(line)) - max(first, position) >= 12:  # shorter texts occur by chance
            yield line
        position += len(line)
