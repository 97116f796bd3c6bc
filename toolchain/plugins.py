"""Pulumi's provider plugins: the official ones if they can be downloaded, else the stand-ins in `plugins/`.

Both are installed into a PULUMI_HOME in the cache, whose name has a checksum of its content. The user's own PULUMI_HOME
stays as it is.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from toolchain import cache, commands, downloads, versions
from toolchain.errors import ToolError
from toolchain.report import Report

STAND_INS = tuple(versions.REPOSITORY / part for part in ("dockerfiles", "fast_start.py", "plugins"))
"""The packages and files that the stand-ins consist of: `PARTS` in `plugins/install.py`, which is slow to import."""


def find() -> Path | None:
    """The PULUMI_HOME with the plugins, the official ones first; None if neither kind is installed."""
    for home in (_official_home(), _stand_in_home()):
        if home.is_dir():
            return home
    return None


def prepare(report: Report, pulumi: Path) -> Path:
    """Install the plugins with this CLI, if they are missing. Returns their PULUMI_HOME.

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
            from plugins.install import InstallError, install  # not needed once the plugins are installed

            try:
                install(pulumi, staged / "home", Path(sys.executable), versions.plugins())
            except (InstallError, OSError, subprocess.SubprocessError) as error:
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
    """Move a PULUMI_HOME into its place, with a file in place of the directory `logs`, so that the CLI writes no logs.

    Writing them takes a tenth of an update without a change, and the CLI has no option against it.
    `pulumi --logtostderr --verbose 9` shows the same.
    """
    logs = staged / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.touch(mode=0o600)
    cache.publish(staged, home)


def _official_home() -> Path:
    return _home("official", [])


def _stand_in_home() -> Path:
    """The name depends on the stand-ins' sources and on the Python that runs them."""
    files = [
        (path.relative_to(part.parent), path)
        for part in STAND_INS
        for path in ([part] if part.is_file() else sorted(part.rglob("*")))
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
