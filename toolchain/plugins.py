"""Pulumi's provider plugins: the official ones where they can be had, else the stand-ins of `plugins/`.

Either lies in a PULUMI_HOME of Slipway's own, whose name follows from what is in it: the user's own is left alone.
"""

import hashlib
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from toolchain import cache, commands, downloads, versions
from toolchain.errors import ToolError
from toolchain.report import Report

STAND_INS = (versions.REPOSITORY / "plugins",)
"""The packages that the stand-ins consist of: `PACKAGES` in `plugins/install.py`."""


def find() -> Path | None:
    """The PULUMI_HOME that has the plugins, if there is one; the official ones come first."""
    for home in (_official_home(), _stand_in_home()):
        if home.is_dir():
            return home
    return None


def prepare(report: Report, pulumi: Path) -> Path:
    """Install the plugins where they are missing, with this CLI, and return their PULUMI_HOME.

    Raises:
        ToolError: neither kind can be installed.
    """
    found = find()
    if found:
        return found
    names = ", ".join(f"{name} {version}" for name, version in versions.plugins().items())
    if downloads.reachable():
        try:
            with report.step("Pulumi plugins", f"downloading {names}") as step:
                home = _download(pulumi)
                step.done(f"downloaded {names}")
            return home
        except ToolError as error:
            report.say(f"… {error}; using the stand-ins instead")
    with report.step("Pulumi plugins", f"installing the stand-ins for {names}") as step:
        home = _stand_in_home()
        with cache.staged(home) as staged:
            stand_ins = import_module("plugins.install")
            try:
                stand_ins.install(pulumi, staged / "home", Path(sys.executable), versions.plugins())
            except (stand_ins.InstallError, OSError, subprocess.SubprocessError) as error:
                raise ToolError(f"the stand-in plugins cannot be installed: {error}") from None
            _publish(staged / "home", home)
        step.done(f"installed the stand-ins for {names}")
    return home


def is_official(home: Path) -> bool:
    """Whether this PULUMI_HOME has the official plugins."""
    return home.name.startswith("official-")


def _download(pulumi: Path) -> Path:
    home = _official_home()
    with cache.staged(home) as staged:
        for name, version in versions.plugins().items():
            commands.run(
                [pulumi, "plugin", "install", "resource", name, version],
                log=f"plugin-{name}",
                failure=f"the plugin {name} {version} cannot be downloaded",
                variables={"PULUMI_HOME": str(staged / "home"), "PULUMI_SKIP_UPDATE_CHECK": "true"},
                timeout=900,
            )
        _publish(staged / "home", home)
    return home


def _publish(staged: Path, home: Path) -> None:
    """Put a PULUMI_HOME in its place, without the logs that the CLI writes of itself in there.

    Nobody asks for them, each command pays for them (a tenth of an update without a change), and there is no option
    against them. `pulumi --logtostderr --verbose 9` shows the same.
    """
    logs = staged / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.touch(mode=0o600)
    cache.publish(staged, home)


def _official_home() -> Path:
    return _home("official", [])


def _stand_in_home() -> Path:
    """Its name changes with the stand-ins' sources and with the Python that runs them."""
    files = [
        (path.relative_to(package.parent), path)
        for package in STAND_INS
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    parts = [part for name, path in files for part in (name.as_posix().encode(), path.read_bytes())]
    return _home("stand-ins", [sys.executable.encode(), *parts])


def _home(kind: str, parts: list[bytes]) -> Path:
    digest = hashlib.sha256(repr(sorted(versions.plugins().items())).encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return cache.root() / "pulumi-home" / f"{kind}-{digest.hexdigest()[:12]}"
