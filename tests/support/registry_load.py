"""Clients that push and pull images of random content all the time, each over a connection of its own."""

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.registry_client import Client, Pushed
from tests.support.waiting import PATIENCE, eventually

LAYER = 256 * 1024
"""Bytes of an image's only layer."""
REMEMBERED = 200
"""A pull takes one of this many images that were acknowledged last."""
PAUSE = 0.05
"""Seconds that a client waits after a failure. More requests would not bring the registry back sooner."""


@dataclass
class RegistryLoad:
    """Pushers and pullers for as long as the block runs. A push counts when its manifest is acknowledged."""

    client: Callable[[], Client]
    """Makes a client."""
    pushers: int = 8
    pullers: int = 16
    repository: str = "load"
    layer: int = LAYER
    pushed: list[Pushed] = field(default_factory=list)
    """All that was acknowledged."""
    pulls: int = 0
    errors: list[str] = field(default_factory=list)
    """Every push and pull that failed."""

    def __post_init__(self) -> None:
        # Random bytes take CPU time, so layers share most of their content: a few bytes make each of them new.
        self._filling = os.urandom(self.layer)
        self._guard = threading.Lock()
        self._ended = threading.Event()
        roles = [self._push] * self.pushers + [self._pull] * self.pullers
        self._threads = [
            threading.Thread(target=self._repeat, args=(role, number), daemon=True)
            for number, role in enumerate(roles)
        ]
        self._begun = self.seconds = 0.0

    def __enter__(self) -> "RegistryLoad":
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        self.seconds = time.monotonic() - self._begun

    def wait_for(self, pushes: int = 0, pulls: int = 0) -> None:
        """Wait until this many more pushes have been acknowledged, and this many more pulls have ended well."""
        all_pushes, all_pulls = len(self.pushed) + pushes, self.pulls + pulls
        eventually(
            f"{pushes} pushes and {pulls} pulls",
            lambda: len(self.pushed) >= all_pushes and self.pulls >= all_pulls,
        )

    def _repeat(self, role: Callable[[Client, str], None], number: int) -> None:
        with self.client() as client:
            while not self._ended.is_set():
                try:
                    role(client, f"{number}-{random.getrandbits(40):x}")
                except Exception as error:  # noqa: BLE001
                    # A thread that ends with an exception would count as a client without errors.
                    client.close()
                    with self._guard:
                        self.errors.append(f"{time.strftime('%H:%M:%S')} {role.__name__}: {error!r}")
                    self._ended.wait(PAUSE)

    def _push(self, client: Client, tag: str) -> None:
        image = client.push(self.repository, tag, layers=[os.urandom(16) + self._filling[16:]])
        with self._guard:
            self.pushed.append(image)

    def _pull(self, client: Client, _: str) -> None:
        recent = self.pushed[-REMEMBERED:]
        if not recent:
            self._ended.wait(PAUSE)
            return
        image = random.choice(recent)
        digest = client.pull(self.repository, random.choice((image.tag, image.digest)))
        assert digest == image.digest, image
        with self._guard:
            self.pulls += 1
