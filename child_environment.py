"""The environment variables that child processes get from this process.

The environment contains secrets: Pulumi passes a stack's whole configuration to the program in `PULUMI_CONFIG`, and CI
sets a passphrase and the cloud's keys. A child gets only the variables that it uses:

| child | gets |
| --- | --- |
| git | `BASIC`, `GIT`; not GIT_DIR, GIT_INDEX_FILE and others that git sets for a hook, which may run `slip` |
| apt, debootstrap | `BASIC`, `NETWORK`, `APT_CONFIG` |
| pip | `BASIC`, `NETWORK`, `NETRC`, `PIP_*` |
| go | `BASIC`, `NETWORK`, `NETRC`, `GO` |
| the Pulumi CLI while it, or a plugin, is installed | `BASIC`, `NETWORK`, `GITHUB_TOKEN`, `PULUMI_PLUGIN_*` |
| dockerd, the emulation of AWS | `BASIC`, `NETWORK`, `DOCKER_*`, `SLIPWAY_*` |
| docker | all but `PULUMI_*`: credential helpers read the keys of their cloud |
| the Pulumi CLI for a stack, which starts program and plugins | all: backend, passphrase, cloud |
| a `local.Command` of the stand-in plugin | all, as with the official plugin (`plugins/command/shell.py`) |
| any other: tar, chroot, mount, umount, losetup, ps, systemctl, linters | `BASIC` |

`ssh` and `awk` are no children: SSH connections are made in this process, and scripts run on the hosts.

This module uses the standard library only, since `slip` imports it before the Python environment exists.
"""

import os
from collections.abc import Mapping

BASIC = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR", "TMP", "TEMP"),
    *("LANG", "LANGUAGE", "LC_*"),
    *("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"),
    # Library paths, which a Python installed by CI may need.
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
)
"""Paths, settings and language, which any program may need. `*` ends a prefix."""

NETWORK = (
    *(f"{what}_proxy" for what in ("http", "https", "ftp", "all", "no")),
    *(f"{what}_PROXY" for what in ("HTTP", "HTTPS", "FTP", "ALL", "NO")),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
)
"""Proxies, and the CAs to trust."""

GIT = (
    # The operator's own configuration, which may define a filter such as git-lfs.
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
    # More of it: CI sets safe.directory in this way. It may hold tokens for git's servers, so only git gets it.
    *("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_*", "GIT_CONFIG_VALUE_*"),
    # With sudo, root may read the repository of the user who ran it.
    "SUDO_UID",
)

GO = (
    *("GOAUTH", "GOBIN", "GOCACHE", "GOENV", "GOEXPERIMENT", "GOFLAGS", "GOINSECURE", "GOMODCACHE"),
    *("GONOPROXY", "GONOSUMDB", "GOPATH", "GOPRIVATE", "GOPROXY", "GOROOT", "GOSUMDB", "GOTMPDIR"),
    *("GOTOOLCHAIN", "GOVCS", "CC", "CXX", "CGO_*"),
)
"""The go command's own variables. `GO*` would include those of Google's cloud."""

_ENGINE = (*BASIC, *NETWORK, "DOCKER_*", "SLIPWAY_*")
# A company's mirror of the plugins is in PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES.
_INSTALLER = (*BASIC, *NETWORK, "GITHUB_TOKEN", "PULUMI_PLUGIN_*")

ALLOWED: Mapping[str, tuple[str, ...]] = {
    "git": (*BASIC, *GIT),
    "apt-get": (*BASIC, *NETWORK, "APT_CONFIG"),
    "apt-config": (*BASIC, *NETWORK, "APT_CONFIG"),
    "debootstrap": (*BASIC, *NETWORK),
    # NETRC is the file with the accounts of a company's package index or module proxy.
    "pip": (*BASIC, *NETWORK, "NETRC", "PIP_*"),
    "go": (*BASIC, *NETWORK, "NETRC", *GO),
    "pulumi": _INSTALLER,
    "dockerd": _ENGINE,
    "emulation": _ENGINE,
}
"""The variables of each child; `BASIC` for a child that is not listed. For docker see `FORBIDDEN`."""

FORBIDDEN: Mapping[str, tuple[str, ...]] = {"docker": ("PULUMI_*",)}
"""The variables that a child does not get; it gets all others."""


def of(child: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child.

    Args:
        child: the program's name, such as `git`.
        environment: the variables to choose from; by default those of this process.
    """
    given = os.environ if environment is None else environment
    if child in FORBIDDEN:
        return {name: value for name, value in given.items() if not _is_in(name, FORBIDDEN[child])}
    allowed = ALLOWED.get(child, BASIC)
    chosen = {name: value for name, value in given.items() if _is_in(name, allowed)}
    if "PATH" in chosen:
        # A relative entry would find programs in the working directory of the child.
        chosen["PATH"] = os.pathsep.join(
            entry for entry in chosen["PATH"].split(os.pathsep) if entry.startswith(os.sep)
        )
    return chosen


def _is_in(name: str, patterns: tuple[str, ...]) -> bool:
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )
