"""The script that brings a service's files to a host."""

import base64
import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.components.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def bring(machine: Machine, version: str, *files: str, mounted: str = "") -> subprocess.CompletedProcess[str]:
    """Bring files to the machine whose containers mount these."""
    machine.command("docker", f"case $1 in ps) echo one ;; inspect) echo '{mounted}' ;; esac")
    values = {"SERVICE": "web", "VERSION": version, "FILES": "\n".join(files)}
    return machine.run("files.sh", values)


def line(content: bytes, mode: str = "0440") -> str:
    return f"0 {mode} {os.getuid()}:{os.getgid()} {base64.b64encode(content).decode()}"


def folder(machine: Machine) -> Path:
    return machine.root / "etc/slipway/files/web"


def test_files_have_their_mode_and_their_content(machine: Machine) -> None:
    result = bring(machine, "v1", line(b"\xffone\n"))
    assert result.returncode == 0, result.stderr
    file = folder(machine) / "v1/0"
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"\xffone\n", 0o440)
    assert folder(machine).stat().st_mode & 0o777 == 0o700
    # It is told, so that a change by hand is seen.
    assert f"made file 440 {os.getuid()}:{os.getgid()}" in result.stdout
    first = file.stat().st_ino
    assert bring(machine, "v1", line(b"\xffone\n", "0400")).returncode == 0
    # Containers have this very file mounted.
    assert (file.stat().st_ino, file.stat().st_mode & 0o777) == (first, 0o400)


def test_a_directory_in_a_files_place_goes(machine: Machine) -> None:
    (folder(machine) / "v1/0").mkdir(parents=True)
    bring(machine, "v1", line(b"one"))
    assert (folder(machine) / "v1/0").read_text() == "one"


def test_versions_that_no_container_has_go(machine: Machine) -> None:
    for version in ("v1", "v2"):
        bring(machine, version, line(b"one"))
    bring(machine, "v3", line(b"one"), mounted=f"{folder(machine)}/v2/0:/etc/app.ini:ro")
    assert sorted(path.name for path in folder(machine).iterdir()) == ["v2", "v3"]
