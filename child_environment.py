"""Which variables of this process's environment its child processes get.

The operator's environment holds passwords: Pulumi puts a stack's whole configuration into the program's
(`PULUMI_CONFIG`), and CI puts a passphrase and the cloud's keys next to it. A child gets only what it uses:

| child | gets |
| --- | --- |
| git | `BASIC`, `GIT`: never GIT_DIR, GIT_INDEX_FILE and the like, which git sets for a hook that runs `slip` |
| apt, debootstrap | `BASIC`, `NETWORK`, `APT_CONFIG` |
| pip | `BASIC`, `NETWORK`, `PIP_*` |
| go | `BASIC`, `NETWORK`, `GO` |
| the Pulumi CLI while it is installed, and while it installs a plugin | `BASIC`, `NETWORK`, `GITHUB_TOKEN` |
| dockerd, the emulation of AWS | `BASIC`, `NETWORK`, `DOCKER_*`, `SLIPWAY_*` |
| docker | everything but `PULUMI_*`: credential helpers read the keys of their cloud |
| the Pulumi CLI at work on a stack, which starts program and plugins | everything: backend, passphrase, cloud |
| a `local.Command` of the stand-in plugin | everything, as the official plugin gives it (`plugins/shell.py`) |
| any other: tar, chroot, mount, umount, losetup, ps, systemctl, linters | `BASIC` |

No child is `ssh` or `awk`: SSH is spoken in this process, and scripts run on the hosts.

This module needs the standard library only, since `slip` uses it before there is a Python environment.
"""

import os
from collections.abc import Mapping

BASIC = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR", "TMP", "TEMP"),
    *("LANG", "LANGUAGE", "LC_*"),
    *("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"),
    # Where programs of this machine find their libraries, such as a Python that CI installed.
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
)
"""What any program may need to find itself, its settings and its language. `*` ends a prefix."""

NETWORK = (
    *(f"{what}_proxy" for what in ("http", "https", "ftp", "all", "no")),
    *(f"{what}_PROXY" for what in ("HTTP", "HTTPS", "FTP", "ALL", "NO")),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
)
"""How this machine reaches others, and which authorities it trusts."""

GIT = (
    # The operator's own settings, which may name a filter such as git-lfs.
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
    # Root by sudo may read the repository of the user who ran sudo.
    "SUDO_UID",
)

GO = (
    *("GOAUTH", "GOBIN", "GOCACHE", "GOENV", "GOEXPERIMENT", "GOFLAGS", "GOINSECURE", "GOMODCACHE"),
    *("GONOPROXY", "GONOSUMDB", "GOPATH", "GOPRIVATE", "GOPROXY", "GOROOT", "GOSUMDB", "GOTMPDIR"),
    *("GOTOOLCHAIN", "GOVCS", "CC", "CXX", "CGO_*"),
)
"""The go command's own variables. `GO*` would hold those of Google's cloud, too."""

_ENGINE = (*BASIC, *NETWORK, "DOCKER_*", "SLIPWAY_*")
_INSTALLER = (*BASIC, *NETWORK, "GITHUB_TOKEN")

ALLOWED: Mapping[str, tuple[str, ...]] = {
    "git": (*BASIC, *GIT),
    "apt-get": (*BASIC, *NETWORK, "APT_CONFIG"),
    "apt-config": (*BASIC, *NETWORK, "APT_CONFIG"),
    "debootstrap": (*BASIC, *NETWORK),
    "pip": (*BASIC, *NETWORK, "PIP_*"),
    "go": (*BASIC, *NETWORK, *GO),
    "pulumi": _INSTALLER,
    "dockerd": _ENGINE,
    "emulation": _ENGINE,
}
"""What each child gets; `BASIC` for one that is not listed. docker is told what it does not get: see `FORBIDDEN`."""

FORBIDDEN: Mapping[str, tuple[str, ...]] = {"docker": ("PULUMI_*",)}
"""What a child does not get that gets everything else."""


def of(child: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child.

    Args:
        child: the program's name, such as `git`.
        environment: what to choose from; by default this process's.
    """
    given = os.environ if environment is None else environment
    if child in FORBIDDEN:
        return {name: value for name, value in given.items() if not _is_in(name, FORBIDDEN[child])}
    allowed = ALLOWED.get(child, BASIC)
    chosen = {name: value for name, value in given.items() if _is_in(name, allowed)}
    if "PATH" in chosen:
        # A relative entry would find programs in the directory that the child runs in.
        chosen["PATH"] = os.pathsep.join(
            entry for entry in chosen["PATH"].split(os.pathsep) if entry.startswith(os.sep)
        )
    return chosen


def _is_in(name: str, patterns: tuple[str, ...]) -> bool:
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )
