"""The contract for the files next to the packages."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from grimp import ImportGraph

from dev import contracts
from dev.contracts import FilesContract
from toolchain.versions import REPOSITORY


def contract(*files: str, may_import: Sequence[str] = ()) -> FilesContract:
    return FilesContract(
        name="test",
        session_options={"root_packages": ["cli", "components"]},
        contract_options={"files": list(files), "may_import": list(may_import)},
    )


@pytest.fixture(autouse=True)
def clone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(contracts, "REPOSITORY", tmp_path)
    (tmp_path / "startup.py").write_text("import os\n")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "broken"),
    [
        ("import cli.app\n", ["__main__.py:1 imports cli"]),
        ("def f():\n    from cli import app\n", ["__main__.py:2 imports cli"]),
        ("import os, startup\n", ["__main__.py:1 imports startup"]),
        ("import os\nfrom components.host import Host\n", []),
        ("from clipboard import copy\n", []),
    ],
)
def test_imports_that_are_not_allowed_are_found(clone: Path, source: str, broken: list[str]) -> None:
    (clone / "__main__.py").write_text(source)
    check = contract("__main__.py", may_import=["components"]).check(ImportGraph(), verbose=False)
    assert check.metadata["broken"] == broken
    assert check.kept == (not broken)


def test_the_contracts_cover_every_package() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    assert set(settings["root_packages"]) == packages
    acyclic = next(c for c in settings["contracts"] if c["type"] == "acyclic_siblings")
    assert set(acyclic["ancestors"]) == packages


def test_the_contracts_cover_every_file_next_to_the_packages() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    covered = {name for c in settings["contracts"] if c["type"] == "files" for name in c["files"]}
    assert covered == {path.name for path in REPOSITORY.glob("*.py")}
