"""A job: a service that runs by a timer on one host, and ends."""

from collections.abc import Sequence
from dataclasses import dataclass

from components.containers import PLENTY_OF_PROCESSES
from configuration.cron import calendars
from configuration.services import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Job:
    """When a service runs."""

    times: Sequence[str]
    """Calendar events of systemd, with their time zone."""
    limit_seconds: int
    """Limit for one run."""

    @classmethod
    def of(cls, service: ServiceSettings) -> "Job | None":
        """When a service runs; None if it runs all the time."""
        if service.schedule is None:
            return None
        times = [f"{event} {service.time_zone}" for event in calendars(service.schedule)]
        return cls(times=times, limit_seconds=service.time_limit)

    def arguments(self, stop_grace: int, processes: int) -> list[str]:
        """What the switch is told, behind the container (scripts/jobs.sh)."""
        limit = [f"pids={processes}"] if processes != PLENTY_OF_PROCESSES else []
        return [str(self.limit_seconds), str(stop_grace), *limit, "--", *self.times]
