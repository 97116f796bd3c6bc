"""The environment variables that child processes get from this process.

The environment contains secrets: Pulumi passes a stack's whole configuration to the program in `PULUMI_CONFIG`, and CI
sets a passphrase and the cloud's keys. A child gets only the variables that it uses, and none that would
change what Slipway asks of it:

| child | gets |
| --- | --- |
| git | `BASIC`, `GIT`; not GIT_DIR, GIT_INDEX_FILE and others that git sets for a hook, which may run `slip` |
| apt, debootstrap | `BASIC`, `NETWORK`, `APT_CONFIG` |
| pip | `BASIC`, `NETWORK`, `NETRC`, `PIP_*` |
| uv, pip-audit | `BASIC`, `NETWORK`, `NETRC`, `UV_*` or `PIP_*` |
| go | `BASIC`, `NETWORK`, `NETRC`, `GO` |
| the Pulumi CLI while it, or a plugin, is installed | `BASIC`, `NETWORK`, `GITHUB_TOKEN`, `PULUMI_PLUGIN_*` |
| restic | `BASIC`, `NETWORK`, and the name of a file with the keys of an object store |
| dockerd, the emulation of AWS | `BASIC`, `NETWORK`, `DOCKER_*`, `SLIPWAY_*` |
| docker | all but `PULUMI_*`: credential helpers read the keys of their cloud |
| docker, for the images that hosts on this machine need | `BASIC`, `NETWORK`, `DOCKER_CONFIG` |
| the Pulumi CLI for a stack, which starts program and plugins | all but `DISTURBING`: backend, passphrase, cloud |
| a `local.Command` of the stand-in plugin | all, as with the official plugin (`plugins/command/shell.py`) |
| `slip`, for what is pushed | `BASIC`, `NETWORK`, SLIPWAY_CACHE, SLIPWAY_PYTHON, a file (`cli/push/credentials.py`) |
| a hook of `slipway:hooks`, any other: tar, chroot, mount, umount, losetup, ps, systemctl, linters | `BASIC` |

`ssh` and `awk` are no children: SSH connections are made in this process, and scripts run on the hosts.

This module uses the standard library only, since `slip` imports it before the Python environment exists.
"""

import os
from collections.abc import Mapping
from pathlib import Path

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

TEMPORARY = ("TMPDIR", "TMP", "TEMP")
"""Folders that must exist: a program that does not find its folder fails, or uses the working directory."""

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
    "pip-audit": (*BASIC, *NETWORK, "NETRC", "PIP_*"),
    "uv": (*BASIC, *NETWORK, "NETRC", "UV_*"),
    "go": (*BASIC, *NETWORK, "NETRC", *GO),
    "pulumi": _INSTALLER,
    "restic": (*BASIC, *NETWORK),
    "docker-images": (*BASIC, *NETWORK, "DOCKER_CONFIG"),
    "dockerd": _ENGINE,
    "emulation": _ENGINE,
    # Backend, passphrase and cloud come from the operator's file (cli/push/credentials.py).
    "pushed": (*BASIC, *NETWORK, "SLIPWAY_CACHE", "SLIPWAY_PYTHON"),
}
"""The variables of each child; `BASIC` for a child that is not listed. For docker see `FORBIDDEN`."""

DISTURBING = (
    # The docker plugin's and its build client's: each would win over what the program leaves out, or contradict what it
    # sets, as DOCKER_CERT_PATH does beside a certificate.
    *("DOCKER_*", "BUILDKIT_*", "BUILDX_*", "COMPOSE_*"),
    # The command plugin fails if this agent does not answer, although the program gives it a key.
    "SSH_AUTH_SOCK",
    # Pulumi's: PULUMI_OPTION_REFRESH and the like are options of every command.
    "PULUMI_*",
    # They change what the program's Python, its shells and their tools do, and where they look for modules.
    *("PYTHON*", "BASH_ENV", "BASH_FUNC_*", "ENV", "CDPATH", "IFS", "GREP_*", "POSIXLY_CORRECT"),
    # Set for a hook of git, they name another repository.
    "GIT_*",
    # gRPC's connections stay on this machine. The plugins' logs.
    *("grpc_proxy", "GRPC_*", "TF_*"),
)
"""The variables that would change what the Pulumi CLI, the program or a plugin does."""

CHOSEN = (
    # The operator's engine. DOCKER_CONFIG has the accounts for base images.
    *("DOCKER_HOST", "DOCKER_CONFIG"),
    # State and secrets.
    *("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CREDENTIALS_PATH"),
    *("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_API", "PULUMI_CONSOLE_DOMAIN"),
    *("PULUMI_DIY_BACKEND_GZIP", "PULUMI_SELF_MANAGED_STATE_GZIP"),
    # A company's mirror of the plugins; what Pulumi Cloud shows of a run by CI; `pulumi up --event-log`; a file for all
    # calls of the engine, with the stack's secrets, which bench/fleet.py counts.
    *("PULUMI_PLUGIN_*", "PULUMI_CI_*", "PULUMI_DEBUG_COMMANDS", "PULUMI_DEBUG_GRPC"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", *GIT),
)
"""Those among `DISTURBING` that the operator chooses."""

FORBIDDEN: Mapping[str, tuple[str, ...]] = {"docker": ("PULUMI_*",), "stack": DISTURBING}
"""The variables that a child does not get; it gets all others. `stack` is the Pulumi CLI for a stack."""

DIRECT = ("localhost", "127.0.0.1", "::1", "0.0.0.0/1", "128.0.0.0/1", "::/0")
"""The destinations that no proxy is used for: IP addresses. Hosts have them; registries and clouds have names.

Two networks instead of one, since Python's requests ignores `0.0.0.0/0`.
"""


def of(child: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child.

    Args:
        child: the program's name, such as `git`.
        environment: the variables to choose from; by default those of this process.
    """
    given = {
        name: value
        for name, value in (os.environ if environment is None else environment).items()
        if name not in TEMPORARY or (value and Path(value).is_dir())
    }
    if child in FORBIDDEN:
        kept = _chosen(given) if child == "stack" else ()
        return {
            name: value
            for name, value in given.items()
            if not _is_in(name, FORBIDDEN[child]) or _is_in(name, kept)
        }
    allowed = ALLOWED.get(child, BASIC)
    chosen = {name: value for name, value in given.items() if _is_in(name, allowed)}
    if "PATH" in chosen:
        # A relative entry would find programs in the working directory of the child.
        chosen["PATH"] = os.pathsep.join(
            entry for entry in chosen["PATH"].split(os.pathsep) if entry.startswith(os.sep)
        )
    return chosen


def _chosen(given: Mapping[str, str]) -> tuple[str, ...]:
    if given.get("DOCKER_HOST", "").startswith("ssh://"):
        return (*CHOSEN, "SSH_AUTH_SOCK")
    return CHOSEN


def without_proxy(*addresses: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that keep programs from using a proxy for these addresses and `DIRECT`.

    Programs differ in which of the two variables they read. What the operator excludes stays excluded.
    """
    given = os.environ if environment is None else environment
    known = (given.get("no_proxy"), given.get("NO_PROXY"), *addresses, *DIRECT)
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(dict.fromkeys(filter(None, known))))


def _is_in(name: str, patterns: tuple[str, ...]) -> bool:
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )
