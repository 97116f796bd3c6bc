"""Clients that push and pull images of chance content all the time, each over a connection of its own."""

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.e2e.pushing import Client, Pushed

LAYER = 256 * 1024
"""Bytes of an image's only layer."""
REMEMBERED = 200
"""How many of the last acknowledged images are pulled, by chance."""
PAUSE = 0.05
"""Seconds that a client waits after a failure: asking more often brings no registry back sooner."""


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
    """Whatever was not as it should be, in either direction."""

    def __post_init__(self) -> None:
        # Chance costs time, which is the machine's: a few bytes of it make a layer that nobody has.
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
            thread.join(60)
        self.seconds = time.monotonic() - self._begun

    def wait_for(self, count: int, seconds: float = 60) -> None:
        """Wait until so many pushes have been acknowledged since now."""
        goal, deadline = len(self.pushed) + count, time.monotonic() + seconds
        while len(self.pushed) < goal:
            assert time.monotonic() < deadline, f"not {count} pushes within {seconds} s: {self.errors[-3:]}"
            time.sleep(0.02)

    def _repeat(self, role: Callable[[Client, str], None], number: int) -> None:
        with self.client() as client:
            while not self._ended.is_set():
                try:
                    role(client, f"{number}-{random.getrandbits(40):x}")
                except Exception as error:  # noqa: BLE001
                    # Whatever it was: a client that ended in silence would count as one without errors.
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
