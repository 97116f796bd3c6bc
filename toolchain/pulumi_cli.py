"""The Pulumi CLI: from PATH if that is the pinned version, else downloaded, else built from its Go module."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import child_environment
from toolchain import cache, commands, downloads, go, versions
from toolchain.errors import ToolError
from toolchain.report import Report

PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK = "github.com/pulumi/pulumi/sdk/v3"

_DOWNLOAD = "import sys; from pulumi.automation import PulumiCommand; PulumiCommand.install(root=sys.argv[1])"
"""Pulumi's own way, by the SDK's default the version of the SDK, which is the pinned one. In a process of its own,
since the script that the SDK downloads gets the whole environment of the process."""


def directory() -> Path:
    """The directory of the cached CLI and its language hosts."""
    return cache.root() / "pulumi" / versions.pulumi() / "bin"


def find() -> Path | None:
    """The CLI in the cache, else the one that `accept_from_path` accepted, if it has not changed; else None."""
    cached = directory() / "pulumi"
    if cached.exists():
        return cached
    try:
        note = json.loads(_note().read_text())
        found = Path(note["path"])
        return found if note == _describe(found) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def prepare(report: Report, lock: int) -> Path:
    """Install the CLI if it is missing, and return its path.

    Raises:
        ToolError: the CLI can neither be downloaded nor built.
    """
    found = find()
    if found:
        return found
    version = versions.pulumi()
    if downloads.reachable():
        try:
            return _download(report, version)
        except ToolError as error:
            report.say(f"… {error}; building it instead")
    with report.step("Pulumi CLI", f"building {version} from its Go module, about 4 minutes") as step:
        target = directory() / "pulumi"
        version_variable = f"{SDK}/go/common/version.Version"
        go.build(
            "pulumi", PACKAGE, target, version_variable=version_variable, version=f"v{version}", lock=lock
        )
        step.done(f"built {version} from its Go module")
    return target


def accept_from_path() -> Path | None:
    """The CLI on PATH, if it has the pinned version and the Python language host is on PATH, too."""
    found = shutil.which("pulumi")
    if not found or not shutil.which("pulumi-language-python"):
        return None
    path = Path(found)
    try:
        result = subprocess.run(
            [path, "version"],
            env=child_environment.of("pulumi"),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if result.stdout.strip() != f"v{versions.pulumi()}":
        return None
    _note().parent.mkdir(parents=True, exist_ok=True)
    with cache.staged(_note()) as staged:
        (staged / "note").write_text(json.dumps(_describe(path)))
        cache.publish(staged / "note", _note())
    return path


def _note() -> Path:
    """The file that describes the accepted CLI on PATH. Asking it for its version each time would take too long."""
    return cache.root() / "pulumi" / versions.pulumi() / "on-path.json"


def _describe(path: Path) -> dict[str, str | int]:
    status = path.stat()
    return {"path": str(path), "size": status.st_size, "modified": status.st_mtime_ns}


def _download(report: Report, version: str) -> Path:
    with report.step("Pulumi CLI", f"downloading {version} from Pulumi") as step:
        with cache.staged(directory().parent) as staged:
            commands.run(
                [sys.executable, "-P", "-c", _DOWNLOAD, staged / "root"],
                log="download-pulumi",
                failure=f"the Pulumi CLI {version} cannot be downloaded",
                child="pulumi",
            )
            directory().parent.mkdir(parents=True, exist_ok=True)
            cache.publish(staged / "root" / "bin", directory())
        step.done(f"downloaded {version} from Pulumi")
    return directory() / "pulumi"
