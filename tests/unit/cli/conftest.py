"""Fixtures of the tests of the command line."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.stack.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A clone, and a user with an empty home and no backend."""
    for name in ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CREDENTIALS_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "Pulumi.yaml").write_text("name: slipway\nruntime: python\n")
    return Project(tmp_path / "clone")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A live process whose command line has both what our command's and what Pulumi's has."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "-m cli", "pulumi"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def started() -> Iterator[Any]:
    """Starts processes that sleep, with the given words on their command line, and ends them."""
    processes_: list[subprocess.Popen[bytes]] = []

    def start(*words: str, code: str = "import time; time.sleep(60)") -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", code, *words])
        processes_.append(process)
        # Until it has become Python, it still has this process's command line.
        while code not in Path(f"/proc/{process.pid}/cmdline").read_text():
            time.sleep(0.01)
        return process

    yield start
    for process in processes_:
        process.kill()
        process.wait()
