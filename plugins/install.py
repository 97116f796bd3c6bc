"""Puts the stand-in plugins where the Pulumi CLI looks for plugins."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import child_environment

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("dockerfiles", "fast_start.py", "plugins")
"""The packages and files in `ROOT` that the plugins consist of; also in `toolchain/plugins.py`, as `STAND_INS`."""
NAMES = ("aws", "command", "docker", "tls")
MAIN = "plugins/start/main.py"
FORK_SERVER = "fork-server"
"""The script in PULUMI_HOME that the language host's launcher starts with the CLI's process id
(`toolchain/language_host.py`, `plugins/start/fork_server.py`)."""


class InstallError(Exception):
    """The Pulumi CLI did not install a plugin; the text is the CLI's."""


def install(pulumi: Path, home: Path, python: Path, versions: dict[str, str]) -> None:
    """Install every stand-in that is missing in the PULUMI_HOME `home`, and the fork server's script.

    `home` is made if it is missing, and may be moved afterwards: the plugins find their files relative to their own.
    `pulumi` is the CLI. `python` is the interpreter of an environment with requirements.txt, which runs the plugins, so
    it must stay where it is. `versions` gives the version that each of `NAMES` stands in for.

    Raises:
        InstallError: the CLI refused one.
    """
    missing = [name for name in NAMES if not _launcher(home, name, versions[name]).is_file()]
    if not missing:
        return
    with tempfile.TemporaryDirectory(prefix="slipway-plugins-") as directory:
        compiled = _compile(Path(directory) / "compiled", python)
        for name in missing:
            layout = Path(directory) / name
            shutil.copytree(compiled, layout)
            _write_script(layout / f"pulumi-resource-{name}", python, MAIN, name)
            _install(pulumi, home, name, versions[name], layout)
    main = _launcher(home, NAMES[0], versions[NAMES[0]]).parent / MAIN
    _write_script(home / FORK_SERVER, python, str(main.relative_to(home)), FORK_SERVER)


def _launcher(home: Path, name: str, version: str) -> Path:
    return home / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"


def _compile(target: Path, python: Path) -> Path:
    """Copy the plugins' sources to `target` and compile them there."""
    ignored = shutil.ignore_patterns("__pycache__", "*.md", "install.py")
    target.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, target / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, target)
    # Python need not compare the compiled files with their sources at each start: the sources never change there.
    compile_all = [str(python), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*compile_all, str(target)], env=child_environment.of("python"), check=True)
    return target


def _write_script(path: Path, python: Path, program: str, argument: str) -> None:
    """Write a script that runs `program`, a path relative to the script's, with `argument` before its own arguments."""
    # A `#!` line may be too short for the interpreter's path. A shell costs a millisecond.
    quoted = "'" + str(python).replace("'", "'\\''") + "'"
    path.write_text(
        f'#!/bin/sh\nexec {quoted} -I -S "${{0%/*}}/{program}" {argument} "$@"\n', encoding="utf-8"
    )
    path.chmod(0o755)


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
