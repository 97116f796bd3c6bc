"""Put the stand-in plugins where the Pulumi CLI looks for plugins."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import child_environment

SOURCES = Path(__file__).resolve().parent
NAMES = ("aws", "command", "docker", "tls")


class InstallError(Exception):
    """A plugin that the Pulumi CLI would not install; the text says what it said."""


def install(pulumi: Path, home: Path, python: Path, versions: dict[str, str]) -> None:
    """Install every stand-in that is missing in the PULUMI_HOME `home`, which is made if need be.

    `home/nursery PID` then gets ready for the plugins of the CLI that is process PID, see `nursery.py`.

    `pulumi` is the CLI, `python` an environment's interpreter that has requirements.txt installed (the
    plugins run with it, so it has to stay where it is), and `versions` says which version each one of
    `NAMES` stands in for.  The plugins find their own files by their place, so `home` may be moved
    afterwards.

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
            shutil.copytree(compiled, layout / "plugins")
            _write_script(layout / f"pulumi-resource-{name}", python, "plugins/start/main.py", name)
            _install(pulumi, home, name, versions[name], layout)
    main = _launcher(home, NAMES[0], versions[NAMES[0]]).parent / "plugins/start/main.py"
    _write_script(home / "nursery", python, str(main.relative_to(home)), "nursery")


def _launcher(home: Path, name: str, version: str) -> Path:
    return home / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"


def _compile(target: Path, python: Path) -> Path:
    """Copy the plugins' sources to `target` and compile them there."""
    shutil.copytree(SOURCES, target, ignore=shutil.ignore_patterns("__pycache__", "*.md", "install.py"))
    # Not to be compared with their sources at each start: they never change there.
    compile_all = [str(python), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*compile_all, str(target)], env=child_environment.of("python"), check=True)
    return target


def _write_script(path: Path, python: Path, program: str, argument: str) -> None:
    """Write a script that runs a program, of which it knows the place from its own, with an argument before its own."""
    # A shell costs a millisecond; a `#!` line may be too short for the interpreter's path.
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
