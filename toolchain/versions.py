"""The pinned versions of what the toolchain installs.

`requirements.txt` pins Python packages, `well_known.py` images, and the `go.mod` files below `go/` Go modules.
"""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
"""The clone's directory."""

LANGUAGE_HOST = "3.79.0"
"""The last version of `pulumi-language-python` released inside the module github.com/pulumi/pulumi/sdk/v3."""

ACTIONLINT = "1.7.12"
"""The linter of workflow files."""

PEBBLE = "2.10.3"
"""The ACME authority of the tests."""

DEBIAN_CODENAME = "bookworm"
"""The Debian release `well_known.DEBIAN_VERSION`, as its archive names it."""

PROXY_CODENAME = "trixie"
"""The Debian release that has `well_known.PROXY_VERSION`: 13."""


def packages() -> dict[str, str]:
    """The versions of requirements.txt's packages, by name: `{"pulumi": "3.259.0", "pulumi-tls": "5.5.1", …}`."""
    text = (REPOSITORY / "requirements.txt").read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", text, re.MULTILINE))


def pulumi() -> str:
    """The Pulumi CLI's version, which is the Python SDK's."""
    return packages()["pulumi"]


def plugins() -> dict[str, str]:
    """The provider plugins' versions by name, such as `aws`. Each is the version of its Python SDK."""
    prefix = "pulumi-"
    return {
        name.removeprefix(prefix): version for name, version in packages().items() if name.startswith(prefix)
    }
