"""A host's user data: cloud-config as a pure function.

It does no more than what SSH needs, and SSH does the rest (scripts/wait-for-boot.sh): a first boot has no second try.
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CloudConfigArgs:
    """What a host's user data is made from."""

    name: str
    """Its host name."""
    host_private_key: str
    """Its SSH host key, in OpenSSH's format. Secret."""
    host_public_key: str
    """The public part of that key."""
    admin_public_key: str
    """The public key of the operator, which may log in."""


def cloud_config(args: CloudConfigArgs) -> str:
    """The text of the user data. Secret, since the host's key is in it. EC2 takes 16 KiB at most."""
    config: dict[str, object] = {
        "hostname": args.name,
        # Amazon Linux would otherwise take EC2's own name, ip-10-83-0-5.
        "prefer_fqdn_over_hostname": False,
        "preserve_hostname": False,
        # Debian's images would otherwise rewrite /etc/hosts at each boot, and lose the registry's name.
        "manage_etc_hosts": "localhost",
        # Generating a locale takes time, and no program needs one. A text: cloud-init's schema knows no boolean here,
        # and calls a boot with one degraded.
        "locale": "false",
        "ssh_keys": {"ed25519_private": args.host_private_key, "ed25519_public": args.host_public_key},
        "ssh_pwauth": False,
        "disable_root": True,
        "ssh_authorized_keys": [args.admin_public_key],
    }
    # JSON is valid YAML, and quotes every text, so that no text is read as another type.
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"
