"""The operator's clock: a certificate is valid from the moment, by that clock, at which it is made."""

from datetime import datetime, timedelta

from cli.errors import CommandError
from cli.stack import processes
from toolchain import docker_socket

TOLERANCE = timedelta(minutes=1)
"""A smaller difference is waited for by a host's set-up (`components/scripts/engine.sh`)."""


def refuse_other_clock(now: datetime | None = None) -> None:
    """Refuse an update by a clock that differs from the one of the hosts on this machine, before it makes certificates.

    The hosts have the clock of this machine's Docker Engine, which answers within a millisecond.

    Raises:
        CommandError: the clocks differ by more than a minute.

    """
    there = docker_socket.clock()
    here = now or processes.now()
    if there is None or abs(here - there) <= TOLERANCE:
        return
    direction = "ahead of" if here > there else "behind"
    raise CommandError(
        f"this command's clock is {_span(abs(here - there))} {direction} that of the Docker Engine, which is the "
        f"hosts' clock ({here:%Y-%m-%d %H:%M:%S} and {there:%Y-%m-%d %H:%M:%S} UTC): hosts would refuse certificates "
        "that it makes",
        "Correct the clock that is wrong, and run the command again.",
    )


def _span(difference: timedelta) -> str:
    if difference.days >= 3:
        return f"{difference.days} days"
    minutes = round(difference.total_seconds() / 60)
    return f"{minutes // 60} hours" if minutes >= 180 else f"{minutes} minutes"
