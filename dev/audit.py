"""`make audit`: looks for known vulnerabilities of the packages in all locks, with pip-audit.

Needs a database, PyPI's or another of pip-audit's (`PIP_AUDIT_VULNERABILITY_SERVICE`). pip-audit calls a package that
the database does not answer for a success; this does not. Runs in the environment of `requirements-supply.txt`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import child_environment
from toolchain import locks
from toolchain.versions import REPOSITORY

FOUND, UNKNOWN = 1, 2
"""Exit statuses: a vulnerability is known; or nobody can say."""


def main() -> int:
    """Audit all locks. Returns 0 if every package was looked up and none has a known vulnerability."""
    packages: dict[str, Mapping[str, Any]] = {}
    for requirements in sorted(REPOSITORY.glob("requirements*.txt")):
        command: list[str | Path] = [
            *(sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--format", "json"),
            *("--progress-spinner", "off", "--requirement", locks.path(requirements)),
        ]
        if service := os.environ.get("PIP_AUDIT_VULNERABILITY_SERVICE"):
            command += ["--vulnerability-service", service]
        done = subprocess.run(
            command, env=child_environment.of("pip-audit"), capture_output=True, text=True, check=False
        )
        try:
            found = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            print(f"audit: {requirements.name} was not looked up: {_last_line(done.stderr)}", file=sys.stderr)
            return UNKNOWN
        packages |= {f"{one['name']} {one.get('version', '')}".strip(): one for one in found}
    return report(packages)


def report(packages: Mapping[str, Mapping[str, Any]]) -> int:
    """Print what was found. Returns the exit status.

    Args:
        packages: by name and version, as pip-audit's JSON has them: with `vulns`, or with `skip_reason`.
    """
    unknown = sorted(name for name, one in packages.items() if "skip_reason" in one)
    vulnerable = {name: one["vulns"] for name, one in sorted(packages.items()) if one.get("vulns")}
    for name, vulnerabilities in vulnerable.items():
        for one in vulnerabilities:
            print(f"✗ {name}: {one['id']}; mended in {_either(one.get('fix_versions') or [])}")
    if unknown or not packages:
        named = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        print(
            f"audit: {len(unknown)} of {len(packages)} packages were not looked up ({named}): "
            "the database of vulnerabilities does not answer from here, or does not know them",
            file=sys.stderr,
        )
    elif not vulnerable:
        print(f"✓ {len(packages)} packages, no known vulnerability")
    return FOUND if vulnerable else UNKNOWN if unknown or not packages else 0


def _either(versions: Sequence[str]) -> str:
    return " or ".join(versions) or "no version yet"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["pip-audit said nothing"])[-1][:300]


if __name__ == "__main__":
    sys.exit(main())
