"""Locks: for each file of requirements, every package that it brings in, with the hashes of the package's files.

pip installs nothing else (`--require-hashes`): neither an index nor the way to it can put another file in place. A
company's own index works if it has the same files. `make lock` writes the locks. Standard library only: `slip` reads
them with the system's Python.
"""

import hashlib
import re
from pathlib import Path

FOLDER = "locks"
"""Where a clone keeps its locks, each under the name of its file of requirements."""
_DIGEST = re.compile(r"^# requirements: sha256:([0-9a-f]{64})$", re.MULTILINE)
_INCLUDED = re.compile(r"^-r (\S+)$", re.MULTILINE)


def path(requirements: Path) -> Path:
    """The path of the lock of these requirements."""
    return requirements.parent / FOLDER / requirements.name


def header(requirements: Path) -> str:
    """The first lines of the lock of these requirements."""
    return (
        f"# What {requirements.name} brings in, with the hashes of the packages' files. Made by `make lock`.\n"
        f"# requirements: sha256:{_digest(requirements)}\n"
    )


def is_current(requirements: Path) -> bool:
    """Whether the lock was made from the requirements as they are now."""
    try:
        found = _DIGEST.search(path(requirements).read_text())
    except FileNotFoundError:
        return False
    return found is not None and found[1] == _digest(requirements)


def _digest(requirements: Path) -> str:
    """A hash of what the files ask for. Comments, blank lines and the order of the lines make no difference."""
    lines = (line.split(" #")[0].strip() for line in _text(requirements).splitlines())
    asked = sorted({line for line in lines if line and not line.startswith("#")})
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()


def _text(requirements: Path) -> str:
    """The text of the file, with those that it includes."""

    def included(line: re.Match[str]) -> str:
        return _text(requirements.parent / line[1])

    return _INCLUDED.sub(included, requirements.read_text())
