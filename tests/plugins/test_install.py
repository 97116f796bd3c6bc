"""The installation of the stand-ins in a PULUMI_HOME, with a CLI that only has `pulumi plugin install --file`."""

import subprocess
import sys
from pathlib import Path

import pytest

from plugins.install import NAMES, InstallError, install

VERSIONS = {"aws": "7.51.1", "command": "1.2.1", "docker": "5.1.0", "tls": "5.5.1"}

# pulumi plugin install resource NAME VERSION --file DIRECTORY
CLI = """#!/bin/sh
set -eu
echo "$*" >> "$0.calls"
mkdir -p "$PULUMI_HOME/plugins"
cp -R "$7" "$PULUMI_HOME/plugins/resource-$4-v$5"
"""


@pytest.fixture
def cli(tmp_path: Path) -> Path:
    path = tmp_path / "pulumi"
    path.write_text(CLI)
    path.chmod(0o755)
    return path


def calls(cli: Path) -> list[str]:
    log = Path(f"{cli}.calls")
    return log.read_text().splitlines() if log.exists() else []


def test_all_are_installed_once(cli: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    install(cli, home, Path(sys.executable), VERSIONS)
    assert [call.split()[:5] for call in calls(cli)] == [
        ["plugin", "install", "resource", name, VERSIONS[name]] for name in NAMES
    ]
    install(cli, home, Path(sys.executable), VERSIONS)
    assert len(calls(cli)) == len(NAMES)


def test_only_what_is_missing_is_installed(cli: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    launcher = home / "plugins/resource-tls-v5.5.1/pulumi-resource-tls"
    launcher.parent.mkdir(parents=True)
    launcher.touch()
    install(cli, home, Path(sys.executable), VERSIONS)
    assert [call.split()[3] for call in calls(cli)] == ["aws", "command", "docker"]


def test_an_installed_plugin_starts_wherever_its_home_was_moved(cli: Path, tmp_path: Path) -> None:
    install(cli, tmp_path / "staged", Path(sys.executable), VERSIONS)
    home = (tmp_path / "staged").rename(tmp_path / "its final home")
    launcher = home / "plugins/resource-tls-v5.5.1/pulumi-resource-tls"
    with subprocess.Popen([launcher, "127.0.0.1:1"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert int(process.stdout.readline()) > 0
        process.terminate()
    assert list(launcher.parent.glob("plugins/protocol/__pycache__/server.*.pyc"))
    assert list(launcher.parent.glob("dockerfiles/__pycache__/ignore.*.pyc"))


def test_the_fork_servers_script_finds_the_plugins(cli: Path, tmp_path: Path) -> None:
    install(cli, tmp_path / "staged", Path(sys.executable), VERSIONS)
    home = (tmp_path / "staged").rename(tmp_path / "its final home")
    # No process has this id, so the fork server ends at once.
    ended = subprocess.run([home / "fork-server", str(1 << 30)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_cli_that_refuses_is_quoted(tmp_path: Path) -> None:
    cli = tmp_path / "pulumi"
    cli.write_text("#!/bin/sh\necho 'error: no room' >&2\nexit 3\n")
    cli.chmod(0o755)
    with pytest.raises(InstallError, match=r"plugin install resource aws 7\.51\.1 .*error: no room"):
        install(cli, tmp_path / "home", Path(sys.executable), VERSIONS)
