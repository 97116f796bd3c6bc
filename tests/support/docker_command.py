"""The `docker` command on this machine's own engine."""

import subprocess

from tests.support.waiting import PATIENCE


def docker(*arguments: str, check: bool = True) -> str:
    """The standard output of a docker command. It has to succeed, unless `check` is false."""
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0 or not check, f"docker {' '.join(arguments)}: {result.stderr}"
    return result.stdout.strip()
