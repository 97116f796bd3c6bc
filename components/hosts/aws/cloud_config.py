"""A host's user data: cloud-config as a pure function. Another text replaces the machine."""

import json
from dataclasses import dataclass

from components import script
from configuration.aws import Distribution
from well_known import INSTALL_SCRIPT_PATH


@dataclass(frozen=True, kw_only=True)
class CloudConfigArgs:
    """What a host's user data is made from."""

    name: str
    """Its host name."""
    distribution: Distribution
    """Its distribution."""
    engine_version: str | None
    """Its Docker Engine's version; None for the distribution's own."""
    host_private_key: str
    """Its SSH host key, in OpenSSH's format. Secret."""
    host_public_key: str
    """The public part of that key."""
    admin_public_key: str
    """The public key of the operator, which may log in."""


def cloud_config(args: CloudConfigArgs) -> str:
    """The text of the user data. Secret, since the host's key is in it. EC2 takes 16 KiB at most."""
    engine, *others = args.distribution.packages
    pinned = args.engine_version is not None
    config: dict[str, object] = {
        "hostname": args.name,
        "preserve_hostname": False,
        # Debian's images would otherwise rewrite /etc/hosts at each boot, and lose the registry's name.
        "manage_etc_hosts": "localhost",
        # Generating a locale takes time, and no program needs one.
        "locale": False,
        "ssh_keys": {"ed25519_private": args.host_private_key, "ed25519_public": args.host_public_key},
        "ssh_pwauth": False,
        "disable_root": True,
        "ssh_authorized_keys": [args.admin_public_key],
        "packages": others if pinned else [engine, *others],
    }
    if pinned:
        config["write_files"] = [
            {"path": INSTALL_SCRIPT_PATH, "permissions": "0755", "content": script.text("install-engine.sh")}
        ]
        config["runcmd"] = [[INSTALL_SCRIPT_PATH, args.engine_version]]
    # JSON is valid YAML, and quotes every text, so that no text is read as another type.
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"
