"""Stand-ins for the engines of a stack's hosts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from cli.running.stack import Failed, RunningStack

Engine = TypeVar("Engine")


def give(monkeypatch: pytest.MonkeyPatch, engines: dict[str, Engine]) -> None:
    """Have hosts answer by these engines, by the host's name; all others give no answer. None answers at first."""

    @contextmanager
    def engine(_: RunningStack, host: str) -> Iterator[Engine]:
        if host not in engines:
            raise Failed(f"the engine of {host}: no answer")
        yield engines[host]

    monkeypatch.setattr(RunningStack, "docker", engine)
    monkeypatch.setattr(RunningStack, "of", classmethod(lambda cls, outputs, **more: cls(outputs, **more)))
    engines.clear()
