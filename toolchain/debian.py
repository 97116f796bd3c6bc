"""The Debian base image, made with debootstrap if no registry can be reached.

It differs from the official `debian` image in two things: it trusts this machine's certificate authorities, and its
apt uses this machine's way to the mirror. On a network without a registry, Debian's usual mirror is often out of reach.
"""

import os
import shutil
from pathlib import Path

from toolchain import apt, cache, commands, versions
from toolchain.errors import ToolError
from well_known import DEBIAN_IMAGE

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""The keys of Debian's archive, of the package debian-archive-keyring. On Ubuntu, debootstrap goes on without them."""

AUTHORITIES = Path("/usr/local/share/ca-certificates")
"""The directory of certificate authorities that this machine's administrator added."""

APT_SETTINGS = """\
# Do not keep packages: they would make the image larger.
APT::Keep-Downloaded-Packages "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
"""


def build(target: Path, lock: int) -> None:
    """Make the root file system and put it at `target`, a tar archive.

    Raises:
        ToolError: this is not root on a Debian or Ubuntu, or the mirror cannot be reached.
    """
    codename = versions.DEBIAN_CODENAME
    mirror = mirrors(codename, DEBIAN_IMAGE)
    sources = apt.debian_sources(codename)
    with cache.staged(target) as directory:
        tree = directory / "tree"
        # As in the official image. Synchronizing each file to the disk makes an installation several times slower, and
        # an interrupted image is thrown away.
        dpkg = tree / "etc" / "dpkg" / "dpkg.cfg.d"
        dpkg.mkdir(parents=True)
        (dpkg / "50slipway").write_text("force-unsafe-io\n")
        debootstrap: list[str | Path] = [
            *("debootstrap", "--variant=minbase", "--include=ca-certificates"),
            *("--force-check-gpg", f"--keyring={KEYRING}", codename),
            tree,
            *mirror,
        ]
        commands.run(
            debootstrap,
            log="debootstrap",
            failure=f"{DEBIAN_IMAGE} cannot be made",
            variables={"DEBIAN_FRONTEND": "noninteractive"},
            keep_open=(lock,),
        )
        _configure(tree, sources)
        archive = directory / target.name
        commands.run(
            [
                "tar",
                "--create",
                "--file",
                archive,
                "--directory",
                tree,
                "--numeric-owner",
                "--one-file-system",
                ".",
            ],
            log="tar-debian",
            failure=f"{DEBIAN_IMAGE} cannot be packed",
        )
        cache.publish(archive, target)


def mirrors(codename: str, image: str) -> list[str]:
    """Prepare for debootstrap: the address of this machine's mirror; empty for debootstrap's own.

    Args:
        codename: the release to install.
        image: the image that is to be made, for messages.

    Raises:
        ToolError: this is not root on a Debian or Ubuntu, or debootstrap cannot be installed.
    """
    if not apt.allowed():
        raise ToolError(
            f"{image} cannot be pulled, and only root on Debian or Ubuntu can make it; "
            f"open the network to the registry, or load the image with `docker load`."
        )
    if not shutil.which("debootstrap"):
        apt.install("debootstrap", failure=f"{image} cannot be made without debootstrap")
    if not KEYRING.is_file():
        apt.install(
            "debian-archive-keyring",
            failure=f"{image} cannot be made without the keys of Debian's archive",
        )
    if not KEYRING.is_file():
        raise ToolError(
            f"{image} cannot be made: {KEYRING}, which has the keys of Debian's archive, is missing; "
            "reinstall the package debian-archive-keyring"
        )
    return [source.address for source in apt.debian_sources(codename) if source.suite == codename][:1]


def _configure(tree: Path, sources: list[apt.Source]) -> None:
    """Give the tree this machine's way to the network, and remove what an image does not need."""
    settings = tree / "etc" / "apt"
    if sources:
        lines = [f"deb {source.address} {source.suite} {source.component}\n" for source in sources]
        (settings / "sources.list").write_text("".join(lines))
    (settings / "apt.conf.d" / "50slipway").write_text(APT_SETTINGS + apt.network_settings())
    # Forbid packages to start their services while they are installed.
    policy = tree / "usr" / "sbin" / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)

    authorities = sorted(AUTHORITIES.rglob("*.crt")) if AUTHORITIES.is_dir() else []
    for authority in authorities:
        shutil.copyfile(authority, tree / AUTHORITIES.relative_to("/") / authority.name)
    if authorities:
        commands.run(
            ["chroot", tree, "update-ca-certificates"],
            log="debian-authorities",
            failure="this machine's certificate authorities cannot be put into the Debian image",
            variables={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
    for pattern in (
        "var/cache/apt/archives/*.deb",
        "var/cache/apt/*.bin",
        "var/lib/apt/lists/*",
        "var/log/*.log",
        "var/log/apt/*",
    ):
        for path in tree.glob(pattern):
            if path.is_file():
                path.unlink()
            else:
                shutil.rmtree(path)
    # Remove this machine's name and resolver.
    for name in ("hostname", "resolv.conf"):
        (tree / "etc" / name).unlink(missing_ok=True)
    machine_id = tree / "etc" / "machine-id"
    if machine_id.exists():
        os.truncate(machine_id, 0)  # each container gets a new one
