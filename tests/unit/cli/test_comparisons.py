"""When an update compares only the resources whose inputs have changed."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from cli.stack.pulumi_command import PulumiCommand
from cli.stack.stack import Stack
from cli.update import comparisons, renewal


@dataclass(frozen=True)
class Project:
    root: Path
    name: str = "slipway"

    @property
    def private(self) -> Path:
        return self.root / ".slipway"


@dataclass(frozen=True)
class Backend:
    directory: Path | None

    def state_file(self, project: str, stack: str) -> Path | None:
        path = self.directory / f"{project}-{stack}" if self.directory else None
        return path if path and path.exists() else None


@dataclass(frozen=True)
class FakeStack:
    project: Project
    backend: Backend
    pulumi: PulumiCommand
    short_name: str = "local"
    key: str = "0123"
    state: dict[str, Any] = field(default_factory=dict)

    def deployment(self) -> dict[str, Any]:
        return self.state


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setattr(comparisons, "REPOSITORY", tmp_path)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/one.py").touch()
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "slipway-local").write_text("the state")
    command = PulumiCommand(Path("pulumi"), tmp_path, {"PATH": "/bin"})
    return cast("Stack", FakeStack(Project(tmp_path), Backend(tmp_path), command))


def compares_less(stack: Stack, *options: str) -> bool:
    return comparisons.fewer(stack, options).pulumi.variables.get(comparisons.VARIABLE) == "true"


def test_the_state_that_the_last_update_left_is_compared_less(stack: Stack) -> None:
    assert not compares_less(stack)
    comparisons.remember(stack)
    assert compares_less(stack, "--yes", "--target", "urn")
    assert comparisons.VARIABLE not in stack.pulumi.variables


@pytest.mark.parametrize("option", ["--refresh", "-r", "--refresh=true", "--expect-no-changes"])
def test_an_update_that_is_to_find_differences_compares_all(stack: Stack, option: str) -> None:
    comparisons.remember(stack)
    assert not compares_less(stack, "--yes", option)


@pytest.mark.parametrize("changed", ["slipway-local", "requirements.txt", "plugins/one.py", "plugins/two.py"])
def test_another_state_or_another_plugin_is_compared(stack: Stack, changed: str) -> None:
    comparisons.remember(stack)
    with (stack.project.root / changed).open("a") as file:
        file.write(" and more")
    assert not compares_less(stack)


def test_another_cli_compares_all(stack: Stack) -> None:
    comparisons.remember(stack)
    assert not compares_less(replace(stack, pulumi=replace(stack.pulumi, executable=Path("other"))))


def test_a_backend_without_a_file_is_compared(stack: Stack) -> None:
    comparisons.remember(stack)
    remote = cast("Stack", replace(cast("FakeStack", stack), backend=Backend(None)))
    assert not compares_less(remote)
    comparisons.remember(remote)


def test_a_certificate_that_is_due_is_compared(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    comparisons.remember(stack)
    monkeypatch.setattr(renewal, "are_due", lambda _: True)
    assert not compares_less(stack)
