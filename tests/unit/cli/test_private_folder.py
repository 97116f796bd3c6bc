"""The clone's private folder is its owner's alone, or nothing is read from it."""

import os
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.stack.project import Project


def test_it_is_made_for_its_owner_only(tmp_path: Path) -> None:
    assert Project(tmp_path).private.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o775, 0o711])
def test_it_becomes_private_if_it_is_not(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / ".slipway"
    folder.mkdir()
    folder.chmod(mode)
    assert Project(tmp_path).private.stat().st_mode & 0o777 == 0o700


def test_one_that_everybody_can_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ".slipway"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(CommandError, match="others may have written to") as raised:
        _ = Project(tmp_path).private
    assert f"chmod 700 {folder}" in raised.value.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_one_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ".slipway"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(CommandError, match="others may have written to"):
        _ = Project(tmp_path).private
    # The whole clone is that user's: root was asked to run that user's code.
    os.chown(tmp_path, 12345, -1)
    assert Project(tmp_path).private == folder
