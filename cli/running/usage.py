"""What the containers of hosts use, as scripts/usage.sh says it again and again. Reading it is a pure function."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.running import ssh
from cli.running.ssh import Command

SCRIPT = Path(__file__).parent / "scripts/usage.sh"
CGROUPS = Path(__file__).parent / "scripts/cgroup.sh"
"""Functions that say what a container uses; they are sent ahead of a script."""


@dataclass(frozen=True)
class Use:
    """What one container uses."""

    service: str
    """The service, `proxy` or `registry`."""
    host: str
    container: str
    cpu: float | None
    """How much of one CPU, 1.0 for all of it, between two samples; None if that is unknown."""
    memory: int
    """Bytes."""


@dataclass
class Samples:
    """The samples of one host."""

    host: str
    _moment: float = 0.0
    _before: float = 0.0
    _times: dict[str, int] = field(default_factory=dict)
    _last: dict[str, int] = field(default_factory=dict)
    _found: list[Use] = field(default_factory=list)

    def take(self, line: str) -> list[Use] | None:
        """Read a line. Returns the sample that it ends, if it is not the first one, which has nothing to compare with.

        Raises:
            ValueError: the line makes no sense.

        """
        kind, *cells = line.split("\t")
        if kind == "begin":
            self._before, self._moment = self._moment, float(cells[0])
            self._last, self._times, self._found = self._times, {}, []
        elif kind == "use":
            name, service, time, memory = cells
            cpu = None
            if time != "-":
                self._times[name] = int(time)
                if name in self._last and self._moment > self._before:
                    # A container that was restarted begins at 0 again.
                    spent = max(0, int(time) - self._last[name]) / 1_000_000
                    cpu = spent / (self._moment - self._before)
            self._found.append(Use(service, self.host, name, cpu, int(memory)))
        elif kind == "end" and self._before:
            return self._found
        return None


async def samples(
    outputs: Mapping[str, Any], host: str, *, count: int, pause: float
) -> AsyncIterator[list[Use]]:
    """What a host's containers use, over one connection.

    Args:
        outputs: the stack's, with their secrets.
        host: the host's name.
        count: how many times it is looked at, at least 2; 0 for ever.
        pause: seconds between two.

    Raises:
        Unreachable: the host does not answer.
        ValueError: it says nothing that makes sense.

    """
    found = Samples(host)
    question = Command("bash -s", f"SAMPLES={count} PAUSE={pause}\n{CGROUPS.read_text()}{SCRIPT.read_text()}")
    async for line in ssh.lines(outputs, host, question):
        if (sample := found.take(line)) is not None:
            yield sample
