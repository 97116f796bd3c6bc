"""`slipway:cleanup`: what hosts keep on their disks beside what runs."""

from typing import Annotated

from configuration.base import Settings
from configuration.constraints import Within


class CleanupSettings(Settings):
    """What hosts keep on their disks beside what runs. Each hour they remove the rest."""

    keep: Annotated[int, Within(1, 100, "a number of images")] = 3
    """Number of images of each service that stay on a host, 1 to 100: those that were healthy there last, the one that
    runs among them. A rollback to one of these pulls nothing. Default: 3."""

    build_cache: Annotated[int, Within(1, 10_000, "a size", "GiB")] = 10
    """GiB of the build cache that stay on the build host, 1 to 10000: the steps that were used last. Default: 10."""
