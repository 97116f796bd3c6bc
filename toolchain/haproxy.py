"""The proxy's image, made from Debian's packages if no registry can be reached.

It has HAProxy and the libraries that it loads, at the official image's paths and with its account, and nothing else.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import child_environment
from toolchain import cache, commands, debian, versions
from toolchain.errors import ToolError
from well_known import PROXY_IMAGE, PROXY_VERSION

USER_ID = 99
"""The account `haproxy` of the official image, so that both read the same files."""

MERGED = ("bin", "lib", "lib64", "sbin")
"""Directories that are links into /usr in Debian 13."""


@dataclass(frozen=True)
class Package:
    """A downloaded package."""

    file: Path
    version: str
    """With an epoch and Debian's revision: `3.0.11-1+deb13u4`."""
    depends: tuple[str, ...]
    """The names of the packages that it needs, the first of alternatives."""


def build(target: Path, lock: int) -> None:
    """Make the root file system and put it at `target`, a tar archive.

    Raises:
        ToolError: this is not root on a Debian or Ubuntu, the mirror cannot be reached, or it has another version.
    """
    codename = versions.PROXY_CODENAME
    mirror = debian.mirrors(codename, PROXY_IMAGE)
    with cache.staged(target) as directory:
        download, tree = directory / "download", directory / "tree"
        options = [
            *("--download-only", "--variant=minbase", "--include=haproxy"),
            *("--force-check-gpg", f"--keyring={debian.KEYRING}"),
        ]
        commands.run(
            ["debootstrap", *options, codename, download, *mirror],
            log="debootstrap-haproxy",
            failure=f"{PROXY_IMAGE} cannot be made",
            variables={"DEBIAN_FRONTEND": "noninteractive"},
            keep_open=(lock,),
        )
        packages = dict(map(_package, (download / "var/cache/apt/archives").glob("*.deb")))
        found = packages["haproxy"].version
        if not found.startswith(f"{PROXY_VERSION}-"):
            raise ToolError(f"{PROXY_IMAGE} cannot be made: Debian's mirror has HAProxy {found}")
        for name in MERGED:
            (tree / "usr" / name).mkdir(parents=True)
            (tree / name).symlink_to(f"usr/{name}")
        for name in needed(packages):
            commands.run(
                ["dpkg-deb", "--extract", packages[name].file, tree],
                log="dpkg-haproxy",
                failure=f"{PROXY_IMAGE} cannot be made: {name} cannot be unpacked",
            )
        (tree / "etc").mkdir(exist_ok=True)
        (tree / "etc/passwd").write_text(
            f"root:x:0:0:root:/root:/bin/sh\nhaproxy:x:{USER_ID}:{USER_ID}::/var/lib/haproxy:/bin/sh\n"
        )
        (tree / "etc/group").write_text(f"root:x:0:\nhaproxy:x:{USER_ID}:\n")
        for name in ("tmp", "var/lib/haproxy", "usr/local/etc/haproxy"):
            (tree / name).mkdir(parents=True, exist_ok=True)
        (tree / "tmp").chmod(0o1777)
        archive = directory / target.name
        commands.run(
            [
                *("tar", "--create", "--file", archive, "--directory", tree, "--numeric-owner"),
                *("--exclude=./usr/share", "."),
            ],
            log="tar-haproxy",
            failure=f"{PROXY_IMAGE} cannot be packed",
        )
        cache.publish(archive, target)


def _package(file: Path) -> tuple[str, Package]:
    said = subprocess.run(
        ["dpkg-deb", "--field", file, "Package", "Version", "Depends", "Pre-Depends"],
        env=child_environment.of("dpkg-deb"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", said, re.MULTILINE))
    relations = ", ".join(fields[name] for name in ("Depends", "Pre-Depends") if name in fields)
    names = tuple(re.split(r"[ (:|]", relation)[0] for relation in relations.split(", ") if relation)
    return fields["Package"], Package(file, fields["Version"], names)


def needed(packages: Mapping[str, Package]) -> Sequence[str]:
    """The names of HAProxy's package and of the libraries that it loads, itself or through another one.

    Scripts that make accounts or rotate logs, which it depends on as well, have no use in an image.

    Args:
        packages: what was downloaded, by name.
    """
    found: set[str] = set()
    waiting = ["haproxy"]
    while waiting:
        name = waiting.pop()
        if name in found or name not in packages:
            continue
        found.add(name)
        waiting += [other for other in packages[name].depends if other.startswith(("lib", "zlib"))]
    return sorted(found)
