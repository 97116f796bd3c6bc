"""A second `up` changes nothing, nor does plain `pulumi`, and git status stays clean."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from tests.support.stack import Stack


def test_second_up_changes_nothing(stack: Stack) -> None:
    result = stack.up("--expect-no-changes")
    assert result.changes == {}, str(result)
    assert len(result.steps) > 40, "the engine looked at hardly any resource"


def test_preview_that_looks_at_what_is_there_finds_no_change(stack: Stack) -> None:
    result = stack.slip("preview", "--refresh", "--expect-no-changes")
    assert result.status == 0, str(result)


def test_git_status_is_clean_after_up(stack: Stack) -> None:
    assert stack.clone.git("status", "--porcelain") == ""


def test_plain_pulumi_works_in_a_prepared_shell_and_finds_no_change(stack: Stack) -> None:
    for command in ("preview", "up --yes --skip-preview"):
        line = f"pulumi {command} --stack {stack.name} --expect-no-changes --non-interactive"
        result = stack.clone.start(*stack.in_prepared_shell(line)).wait()
        assert result.status == 0, str(result)
        assert "unchanged" in result.output


def test_another_clone_of_the_same_commit_changes_nothing(stack: Stack, tmp_path: Path) -> None:
    """It has other modes and times, and no history."""
    own, other = stack.clone.root, tmp_path / "clone"
    before = os.umask(0o077)
    try:
        command = ["git", "clone", "--quiet", "--depth", "1", f"file://{own}", str(other)]
        subprocess.run(command, check=True, capture_output=True)
    finally:
        os.umask(before)
    (other / "app/server.py").chmod(0o660)
    os.utime(other / "app/config.json", (1, 1))
    # As with a backend that people share.
    shutil.copytree(own / ".slipway", other / ".slipway", ignore=shutil.ignore_patterns("contexts"))
    shutil.copy(stack.config_file, other)
    clone = replace(stack.clone, root=other)
    result = Stack(clone, stack.name).slip("preview", "--expect-no-changes")
    assert result.status == 0, str(result)
