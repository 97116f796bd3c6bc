"""The Python language host, which runs the program for the CLI.

Pulumi's download contains it. A CLI that was built here needs a language host that was built here.
"""

import shutil
from pathlib import Path

from toolchain import cache, go, pulumi_cli, versions
from toolchain.report import Report

PACKAGE = "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
NAME = "pulumi-language-python"
PROGRAM = f"{NAME}-host"
"""The host's name once a launcher has its own."""
_EARLIER_PROGRAM = f"{NAME}-program"
"""The same, of an earlier launcher."""
LAUNCHER = f"""\
#!/bin/sh
# Starts the fork server of the stand-in plugins (plugins/start/fork_server.py) for the CLI, which is process $PPID.
if [ -x "$PULUMI_HOME/fork-server" ]; then "$PULUMI_HOME/fork-server" "$PPID" </dev/null >/dev/null 2>&1 & fi
exec "${{0%/*}}/{PROGRAM}" "$@"
"""
SCRIPTS = ("cmd/pulumi-language-python-exec", "dist/pulumi-resource-pulumi-python")
"""The scripts that the host starts, below `python/` in the SDK of the CLI's version."""


def find(cli: Path) -> Path | None:
    """The path of this CLI's host; None if it is missing."""
    beside = cli.parent / NAME
    if beside.exists():
        return beside
    if cli.parent == pulumi_cli.directory():
        return None
    on_path = shutil.which(NAME)
    return Path(on_path) if on_path else None


def prepare(report: Report, lock: int) -> None:
    """Build the host into the cached CLI's directory. The CLI warns of a host in another directory.

    Raises:
        ToolError: the host cannot be built.
    """
    target = pulumi_cli.directory() / NAME
    if target.exists():
        return
    version = versions.LANGUAGE_HOST
    with report.step(
        "Language host", f"building {NAME} {version} from its Go module, about a minute"
    ) as step:
        sdk = go.module_directory("pulumi", pulumi_cli.SDK, lock) / "python"
        target.parent.mkdir(parents=True, exist_ok=True)
        for script in SCRIPTS:
            with cache.staged(target) as directory:
                copy = directory / Path(script).name
                shutil.copyfile(sdk / script, copy)
                copy.chmod(0o755)
                cache.publish(copy, target.parent / copy.name)
        # Last: if the host exists, so do its scripts.
        variable = f"{pulumi_cli.SDK}/go/common/version.Version"
        go.build(NAME, PACKAGE, target, version_variable=variable, version=f"v{version}", lock=lock)
        step.done(f"built {NAME} {version} from its Go module")


def add_launcher() -> None:
    """Put a launcher before the cached CLI's host, which starts the stand-in plugins' fork server; once is enough."""
    target = pulumi_cli.directory() / NAME
    if not target.exists() or target.read_bytes() == LAUNCHER.encode():
        return
    with cache.staged(target) as directory:
        program, launcher = directory / PROGRAM, directory / NAME
        host = target.with_name(PROGRAM)
        if not host.exists():
            earlier = target.with_name(_EARLIER_PROGRAM)
            program.hardlink_to(earlier if earlier.exists() else target)
            cache.publish(program, host)
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)
        cache.publish(launcher, target)
