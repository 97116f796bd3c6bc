"""`slipway:rollout`: how new versions reach the hosts."""

from typing import Literal

from configuration.base import Settings


class RolloutSettings(Settings):
    """How new versions reach the hosts."""

    on_failure: Literal["back", "stop"] = "back"
    """What `./slip up` does if a version fails on a host after others have it. `back`: the others go back to the last
    good version, so that all serve the same. `stop`: each host goes on with what it serves. Default: `back`."""
