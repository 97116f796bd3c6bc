"""A machine that receives pushes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.push.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    made.make()
    try:
        yield made
    finally:
        made.end()
