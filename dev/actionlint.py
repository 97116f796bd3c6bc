"""actionlint, the linter of workflow files: from PATH, else built from its Go module."""

import shutil
from pathlib import Path

from toolchain import cache, go, versions
from toolchain.report import Report


def prepare(report: Report, lock: int) -> Path:
    """Build actionlint if it is missing, and return its path.

    Raises:
        ToolError: it is missing and cannot be built.
    """
    on_path = shutil.which("actionlint")
    if on_path:
        return Path(on_path)
    target = cache.root() / "actionlint" / versions.ACTIONLINT / "actionlint"
    if not target.exists():
        with report.step(
            "actionlint", f"building {versions.ACTIONLINT} from its Go module, about 20 seconds"
        ) as step:
            package = "github.com/rhysd/actionlint/cmd/actionlint"
            go.build("actionlint", package, target, version=versions.ACTIONLINT, lock=lock)
            step.done(f"built {versions.ACTIONLINT} from its Go module")
    return target
