"""restic for tests, on this machine: from its PATH, or from Debian's package, which is not installed."""

import os
import shutil
import subprocess
from functools import cache as once
from pathlib import Path

import pytest

from toolchain import apt, cache


@once
def program() -> Path:
    """Restic's path; the test is skipped without it, and fails where nothing may be skipped."""
    if found := shutil.which("restic"):
        return Path(found)
    target = cache.root() / "restic" / "usr/bin/restic"
    if not target.is_file():
        with cache.lock("restic", lambda _: None):
            if not target.is_file() and not _unpack(target.parents[2]):
                missing = "restic is missing, and apt has no package of it: install restic"
                if os.environ.get("CI"):
                    pytest.fail(missing)
                pytest.skip(missing)
    return target


def _unpack(folder: Path) -> bool:
    """Download Debian's package and unpack it there. Whether that worked."""
    if not shutil.which("apt-get"):
        return False
    with cache.staged(folder) as staged:
        download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "restic"]
        if subprocess.run(download, cwd=staged, check=False).returncode:
            if not apt.allowed():
                return False
            subprocess.run(["apt-get", "-qq", "update"], check=True)
            subprocess.run(download, cwd=staged, check=True)
        (package,) = staged.glob("restic_*.deb")
        subprocess.run(["dpkg", "-x", package, staged / "tree"], check=True)
        cache.publish(staged / "tree", folder)
    return True
