"""Who may use a service, and how often: `auth` and `rateLimit` of a service."""

from typing import Annotated

from pydantic import Field

from configuration.base import Settings
from configuration.constraints import Matching, Within
from configuration.types import Seconds

SHORTEST_PASSWORD = 8
"""Characters, as NIST SP 800-63B asks for."""
PASSWORD_PATTERN = r"[ -~]*"  # noqa: S105 - what a password consists of
"""Printable ASCII, which all browsers encode alike."""
LARGEST_PAGE = 12 * 1024
"""Bytes of a page for errors: HAProxy has it in one buffer of 16 KiB, with the headers."""

Visitor = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9][A-Za-z0-9._@+-]*",
        "not a visitor's name",
        "Use letters, digits and . _ @ + -, and begin with a letter or a digit.",
        length=64,
    ),
]


class RateLimit(Settings):
    """How many requests one client may send in a time."""

    requests: Annotated[int, Within(1, 1_000_000, "a number of requests"), Field(examples=[100])]
    """Requests that a client may send within `seconds`, 1 to 1000000. Required."""

    seconds: Seconds = 60
    """The time that they are counted in, 1 to 3600 seconds up to now. Default: 60."""
