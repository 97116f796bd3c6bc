"""The experiment `rotation`: what a client of the registry notices while the registry's authority is replaced."""

import http.client
import ssl
import threading
import time
from dataclasses import dataclass, field

from bench.experiments import Results, Say
from bench.measure import BenchError
from bench.stack import Stack
from tests.support.registry import Registry

AWAY_TARGET = 5.0
"""The target for the longest time without an answer, seconds: one restart of the registry."""
REFUSED_TARGET = 0.5
"""The target for the share of refused requests in the update that restarts the registry."""
PAUSE = 0.05
"""Seconds between two requests, and so the precision of a gap."""


@dataclass
class Watch:
    """Asks the registry all the time while the block runs, over a new connection for each request."""

    registry: Registry
    """The registry, with the authority that the client trusts throughout."""
    asked: int = 0
    refused: int = 0
    longest: float = 0.0
    """The longest time between two good answers, seconds."""
    distrust: list[str] = field(default_factory=list)
    """Answers with a certificate that the client does not trust: no rotation may have any."""

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(PAUSE):
            good = self._answers()
            now = time.monotonic()
            self.asked += 1
            self.refused += not good
            self.longest = max(self.longest, now - last)
            last = now if good else last

    def _answers(self) -> bool:
        try:
            return self.registry.answers()
        except ssl.SSLCertVerificationError as error:
            self.distrust.append(error.verify_message)
        except (OSError, http.client.HTTPException):
            pass
        return False


def rotation(stack: Stack, results: Results, runs: int, app_hosts: int, say: Say) -> None:
    """Rotate the registry's authority so many times, each time in two updates, as a client sees it.

    Raises:
        BenchError: the client saw a certificate that it does not trust.
    """
    away, shares, updates = [], [], []
    for number in range(1, runs + 1):
        stack.set_registry_ca(int(stack.outputs["registryCaGeneration"]) + 1)
        with Watch(Registry.of(stack.outputs)) as first:
            updates.append(stack.slip_up())
        # From here on, clients that trust the new authority, too.
        with Watch(Registry.of(stack.outputs)) as second:
            updates.append(stack.slip_up())
        if problems := first.distrust + second.distrust:
            raise BenchError(f"a client does not trust the registry during a rotation: {problems[0]}")
        away.append(max(first.longest, second.longest))
        shares.append(first.refused / first.asked)
        say(
            f"rotation {number} of {runs}: away for {away[-1]:.2f} s, {shares[-1]:.0%} of the requests refused"
        )
    results.add("rotation", f"registry away, target {AWAY_TARGET:g} s", "s", away, app_hosts)
    results.add(
        "rotation",
        f"requests refused in the first update, target {REFUSED_TARGET:.0%}",
        "%",
        [100 * share for share in shares],
        app_hosts,
    )
    results.add("rotation", "./slip up, each of the two updates", "s", updates, app_hosts)
