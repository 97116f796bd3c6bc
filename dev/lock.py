"""`make lock`: writes the locks of all requirements again. Versions stay, unless `--upgrade` is passed.

Runs in the environment of `requirements-supply.txt`, which has uv. So it works while the other locks are stale.
"""

import os
import subprocess
import sys
from pathlib import Path

import child_environment
from toolchain import locks
from toolchain.versions import REPOSITORY

OLDEST_PYTHON = "3.11"
"""The locks are valid from this version of Python on, and for every platform: `uv --universal` marks what differs."""
_FIRST = "requirements-dev.txt"
"""The requirements with the most packages. The others get the same versions."""


def main(options: list[str]) -> int:
    """Write the locks. Returns 0, or 1 if uv finds no versions that suit all requirements."""
    first = REPOSITORY / _FIRST
    for requirements in sorted(REPOSITORY.glob("requirements*.txt"), key=lambda path: path != first):
        lock = locks.path(requirements)
        lock.parent.mkdir(exist_ok=True)
        same: list[str | Path] = [] if requirements == first else ["--constraint", locks.path(first)]
        if not _compile(requirements, lock, [*same, *options]):
            return 1
        lock.write_text(locks.header(requirements) + lock.read_text())
        print(f"✓ {lock.relative_to(REPOSITORY)}")
    return 0


def _compile(requirements: Path, lock: Path, options: list[str | Path]) -> bool:
    """Have uv write a lock. Keeps the versions that are in it already."""
    variables = child_environment.of("uv")
    # pip's variable for a company's own index; uv has one of its own.
    if index := os.environ.get("PIP_INDEX_URL"):
        variables.setdefault("UV_DEFAULT_INDEX", index)
    command: list[str | Path] = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--universal", "--generate-hashes", "--no-header"),
        *("--quiet", "--no-annotate", "--python-version", OLDEST_PYTHON, "--output-file", lock),
        *(*options, requirements),
    ]
    return subprocess.run(command, cwd=REPOSITORY, env=variables, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
