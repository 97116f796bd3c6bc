"""The environment that the program runs in, whoever starts it."""

from pathlib import Path

import pytest
import yaml

from cli.errors import CommandError
from cli.stack import virtual_environment

REQUIREMENTS = "# What the program needs.\npulumi==3.2.1\nPyYAML==6.0.3  # YAML 1.1\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "requirements.txt").write_text(REQUIREMENTS)
    return tmp_path


def made_by_pulumi(root: Path, **versions: str) -> Path:
    """What `pulumi install` makes: a folder with packages."""
    folder = root / ".venv"
    for name, version in versions.items():
        info = folder / f"lib/python3.11/site-packages/{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


def test_pulumis_own_file_names_it() -> None:
    project = yaml.safe_load(Path("Pulumi.yaml").read_text())
    assert project["runtime"]["options"]["virtualenv"] == virtual_environment.NAME


def test_the_first_command_links_its_own_environment(root: Path) -> None:
    virtual_environment.provide(root, root / "environment")
    assert (root / ".venv").readlink() == root / "environment"


def test_a_newer_environment_replaces_the_link(root: Path) -> None:
    (root / ".venv").symlink_to(root / "gone")
    virtual_environment.provide(root, root / "environment")
    assert (root / ".venv").readlink() == root / "environment"
    assert [path.name for path in root.iterdir() if path.is_symlink()] == [".venv"]


def test_what_pulumi_install_made_is_used_as_it_is(root: Path) -> None:
    folder = made_by_pulumi(root, pulumi="3.2.1", pyyaml="6.0.3", other="1")
    virtual_environment.provide(root, root / "environment")
    assert folder.is_dir()
    assert not folder.is_symlink()


@pytest.mark.parametrize(
    ("versions", "lacking"),
    [
        ({"pulumi": "3.2.0", "PyYAML": "6.0.3"}, "pulumi==3.2.1 of"),
        ({"pulumi": "3.2.1"}, "PyYAML==6.0.3 of"),
        ({"other": "1"}, "pulumi==3.2.1, PyYAML==6.0.3 of"),
    ],
)
def test_one_that_lacks_something_is_refused_with_the_way_out(
    root: Path, versions: dict[str, str], lacking: str
) -> None:
    made_by_pulumi(root, **versions)
    with pytest.raises(CommandError, match=f"lacks {lacking}") as raised:
        virtual_environment.provide(root, root / "environment")
    assert "pulumi install" in raised.value.remedy
