"""Names of AWS resources, made from a project's and a stack's name, which may be longer and have other characters."""

import hashlib
import re
from dataclasses import dataclass

DIGEST_LENGTH = 8
"""Hexadecimal digits that tell two names apart that would otherwise be cut to the same."""


@dataclass(frozen=True)
class NameRule:
    """Which names a service allows."""

    characters: str
    """The allowed characters, as in a regular expression's brackets."""
    limit: int
    """The most characters."""


def resource_name(name: str, rule: NameRule) -> str:
    """The name itself if it is allowed, else a similar one that is, with a digest of the name.

    Args:
        name: the name that the resource should have. It begins with a letter or digit.
        rule: which names the service allows.
    """
    allowed = re.sub(f"[^{rule.characters}]", "-", name)
    if allowed == name and len(name) <= rule.limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{allowed[: rule.limit - DIGEST_LENGTH - 1]}-{digest}"
