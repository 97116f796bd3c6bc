"""`slipway:review`: review environments, each a stack for one pull request, for some days."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator

from configuration.base import Settings
from configuration.constraints import Matching, Within, mistake

LARGEST = 999_999_999
"""The largest number of a pull request. No forge has come near it."""


UNTIL_REMEDY = "`./slip review open` writes it, such as 2026-01-31T12:00:00Z."


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise mistake("a time that does not exist", UNTIL_REMEDY) from None
    return text


class ReviewSettings(Settings):
    """How many review environments there are, and for how long. `Pulumi.review.yaml` has these settings."""

    limit: Annotated[int, Within(1, 100, "a number of environments")] = 5
    """How many there are at most at once, 1 to 100. `./slip review open` refuses one more. Default: 5."""

    ttl_hours: Annotated[int, Within(1, 8_760, "a time in hours", "hours")] = 72
    """Hours that one stays after it was opened or updated last, 1 to 8760; then `./slip review sweep` removes it.
    `--ttl` sets another time for one. Default: 72."""

    pull_request: Annotated[int, Within(1, LARGEST, "the number of a pull request")] | None = None
    """The pull request that the stack is for, 1 to 999999999. `./slip review open` writes it. Default: none, the stack
    is no review environment."""

    until: (
        Annotated[
            str,
            Matching(
                r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z",
                "not a time in UTC",
                UNTIL_REMEDY,
            ),
            AfterValidator(_moment),
        ]
        | None
    ) = None
    """When the stack's time is over, in UTC. `./slip review open` writes it. Default: none."""
