"""`slipway:review`: review environments, each a stack for one pull request, for some days."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from configuration.base import Settings
from configuration.constraints import Matching, Within, mistake
from configuration.types import Label

MOST_GUESTS = 20
"""The largest number of review environments on the hosts of one stack: each has an account, and memory is limited."""
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

    hosts_of: Annotated[Label, Field(examples=["staging"])] | None = None
    """Stack on whose hosts the environments are, by its name without an organization. Its `review.guests` says how many
    may be there. Default: none, each environment has hosts of its own."""

    guests: Annotated[int, Within(0, MOST_GUESTS, "a number of environments")] = 0
    """How many review environments may be on the hosts of this stack at once, 0 to 20. Each has an account and a part
    of the registry to itself: `review-1`, `review-2` and so on. Default: 0."""

    slot: Annotated[int, Within(1, MOST_GUESTS, "the number of a guest")] | None = None
    """Which of the guests of `hostsOf` the stack is, 1 to 20. `./slip review open` writes it. Default: none."""

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
