"""Standard streams that are closed, or have no room."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def slip(redirections: str, *, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run `slip stacks --help`, or Python code, in a shell with these redirections."""
    command = ["-c", code] if code else ["-m", "cli", "stacks", "--help"]
    return subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirections}', "sh", sys.executable, "-P", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SLIPWAY_ROOT": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_closed_streams_are_no_error() -> None:
    assert slip("<&- >&- 2>&-").returncode == 0
    result = slip(">&-")
    assert (result.returncode, result.stderr) == (0, "")


def test_closed_streams_are_not_the_next_files() -> None:
    code = (
        "import os, sys; from cli.__main__ import _open_streams; _open_streams(); "
        "print([os.readlink(f'/proc/self/fd/{number}') for number in range(3)], file="
        "os.fdopen(os.dup(3), 'w'))"
    )
    result = slip("3>&1 <&- >&- 2>&-", code=code)
    assert result.stdout == "['/dev/null', '/dev/null', '/dev/null']\n", result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_without_room_is_said_in_one_sentence() -> None:
    result = slip(">/dev/full")
    assert result.returncode == 1
    assert "error: what this command writes: No space left on device" in result.stderr
    assert "Make room there" in result.stderr
    assert "bug" not in result.stderr
    assert "Exception" not in result.stderr
