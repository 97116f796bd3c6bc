"""An existing stack keeps its resources: their URNs, and the options that decide when they are replaced or deleted."""

import pytest

from tests.unit.components.resource_pins import CHANGED, FOLDER, STACKS, PinnedStack
from tests.unit.program import ROOT


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")


@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: stack.name)
def test_the_resources_are_the_recorded_ones(stack: PinnedStack) -> None:
    if difference := stack.difference():
        pytest.fail(CHANGED.format(file=stack.file.relative_to(ROOT)) + "\n" + difference, pytrace=False)


def test_no_file_is_left_of_a_stack_that_is_no_longer_pinned() -> None:
    assert set(FOLDER.iterdir()) == {stack.file for stack in STACKS}
