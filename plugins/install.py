"""Put the stand-in plugins where the Pulumi CLI looks for plugins."""

import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
NAMES = ("aws", "command", "docker", "tls")


class InstallError(Exception):
    """A plugin that the Pulumi CLI would not install; the text says what it said."""


def install(pulumi: Path, home: Path, python: Path, versions: dict[str, str]) -> None:
    """Install every stand-in that is missing in the PULUMI_HOME `home`, which is made if need be.

    `pulumi` is the CLI, `python` an environment's interpreter that has requirements.txt installed (the
    plugins run with it, so it has to stay where it is), and `versions` says which version each one of
    `NAMES` stands in for.  The plugins find their own files by their place, so `home` may be moved
    afterwards.

    Raises:
        InstallError: the CLI refused one.
    """
    for name in NAMES:
        if _launcher(home, name, versions[name]).is_file():
            continue
        with tempfile.TemporaryDirectory(prefix="slipway-plugin-") as directory:
            layout = Path(directory)
            _lay_out(layout, name, python)
            _install(pulumi, home, name, versions[name], layout)


def _launcher(home: Path, name: str, version: str) -> Path:
    return home / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"


def _lay_out(layout: Path, name: str, python: Path) -> None:
    """Fill `layout` with what becomes the directory of the plugin `name`."""
    sources = layout / "plugins"
    shutil.copytree(SOURCES, sources, ignore=shutil.ignore_patterns("__pycache__", "*.md", "install.py"))
    # Compiled once, and not compared with its source at each start: it never changes here.
    compile_all = [str(python), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*compile_all, str(sources)], check=True)
    launcher = layout / f"pulumi-resource-{name}"
    # A shell costs a millisecond, and its line may be longer than the 127 bytes that a `#!` line may have.
    quoted = "'" + str(python).replace("'", "'\\''") + "'"
    launcher.write_text(
        f'#!/bin/sh\nexec {quoted} -I -S "${{0%/*}}/plugins/main.py" {name} "$@"\n', encoding="utf-8"
    )
    launcher.chmod(0o755)


def _install(pulumi: Path, home: Path, name: str, version: str, layout: Path) -> None:
    command = [str(pulumi), "plugin", "install", "resource", name, version, "--file", str(layout)]
    done = subprocess.run(
        command,
        env={"HOME": str(home), "PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InstallError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")
