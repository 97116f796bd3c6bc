"""Debian's package manager: installs packages, and tells how this machine reaches its mirror."""

import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import child_environment
from toolchain import commands
from toolchain.errors import ToolError

_one_at_a_time = threading.Lock()


def allowed() -> bool:
    """Whether this process can install packages: as root, on Debian or Ubuntu."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str, failure: str) -> None:
    """Install packages, without those that they recommend. If that fails, fetch the package lists and try again.

    Raises:
        ToolError: a package cannot be installed; the text begins with `failure`.
    """
    options = ["-o", "DPkg::Lock::Timeout=300", "-y", "-q", "--no-install-recommends"]
    command = ["apt-get", *options, "install", *packages]
    log = f"apt-{packages[0]}"
    with _one_at_a_time:
        try:
            _run(command, log, failure)
        except ToolError:
            _run(["apt-get", "-q", "update"], "apt-update", failure)
            _run(command, log, failure)


def _run(command: list[str], log: str, failure: str) -> None:
    # An interrupted package manager must be repaired by hand.
    variables = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
    commands.run(command, log=log, failure=failure, variables=variables, interruptible=False)


@dataclass(frozen=True)
class Source:
    """One line of apt's sources."""

    address: str
    suite: str
    component: str


def debian_sources(codename: str) -> list[Source]:
    """This machine's addresses of Debian's archive, for the release `codename`; none on other systems."""
    release = _os_release()
    if release.get("ID") != "debian" or not shutil.which("apt-get"):
        return []
    own = release.get("VERSION_CODENAME", codename)
    table = _index_targets()
    if allowed() and any(not origin for *_, origin in _rows(table)):
        # apt knows a list's origin only after it has fetched the list.
        commands.run(["apt-get", "-q", "update"], log="apt-update", failure="apt's lists cannot be fetched")
        table = _index_targets()
    return parse_sources(table, own, codename)


def parse_sources(table: str, from_codename: str, to_codename: str) -> list[Source]:
    """Debian's lines of a table (address, suite, component, origin), changed from one release to another.

    Archives of third parties are left out: the image lacks their keys.
    """
    suites = {f"{from_codename}{part}": f"{to_codename}{part}" for part in ("", "-updates", "-security")}
    found: list[Source] = []
    for address, suite, component, origin in _rows(table):
        if suite not in suites or origin != "Debian":
            continue
        source = Source(_address(address), suites[suite], component)
        if source not in found:
            found.append(source)
    return found


def _index_targets() -> str:
    fields = "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)"
    command = ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
    return _said(command)


def _rows(table: str) -> list[tuple[str, str, str, str]]:
    rows = []
    for line in table.splitlines():
        # apt prints the name of a field that it does not know.
        fields = ["" if field.startswith("$(") else field for field in line.split("\t")]
        if len(fields) == 4:
            rows.append((fields[0], fields[1], fields[2], fields[3]))
    return rows


def _address(address: str) -> str:
    """A mirror's address. Cloud images configure apt with a file of mirrors: then the first one in it."""
    prefix = "mirror+file:"
    if not address.startswith(prefix):
        return address
    lines = Path(address.removeprefix(prefix).rstrip("/")).read_text().split()
    return next((line for line in lines if line.startswith("http")), address)


def network_settings() -> str:
    """The lines of apt's configuration about the way to the mirror: proxies and TLS.

    Lines with credentials, or with paths of files, which an image would lack, are left out.
    """
    return select_network_settings(_said(["apt-config", "dump"]))


def _said(command: list[str]) -> str:
    variables = child_environment.of(command[0])
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False).stdout


def select_network_settings(dump: str) -> str:
    """See `network_settings`; `dump` is the output of `apt-config dump`."""
    kept = []
    for line in dump.splitlines():
        key, _, value = line.partition(" ")
        lowered = key.lower()
        about_network = lowered.startswith(("acquire::http", "acquire::https", "acquire::forceipv"))
        if about_network and value not in {'"";', ""} and "@" not in value and '"/' not in value:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def _os_release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
