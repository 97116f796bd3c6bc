"""The machine images that the emulated account offers, and SSM's parameters that name the latest."""

from typing import Any

DEBIAN = "136693071363"
"""Debian's account: https://wiki.debian.org/Cloud/AmazonEC2Image/Bookworm."""

IDS = {"x86_64": "ami-0deb1a00000000064", "arm64": "ami-0deb1a00000000a64"}
"""The image of each architecture, by EC2's name of it."""

DEBIAN_NAMES = {"x86_64": "amd64", "arm64": "arm64"}
"""Debian's name of each architecture."""


def offered() -> list[dict[str, Any]]:
    """The images, in the format that moto loads. Their date is fixed, so that they do not change between starts."""
    return [
        {
            "ami_id": identifier,
            "name": f"debian-12-{DEBIAN_NAMES[architecture]}-20250101-1980",
            "description": "Debian 12, as a container of the emulation",
            "owner_id": DEBIAN,
            "public": True,
            "virtualization_type": "hvm",
            "architecture": architecture,
            "state": "available",
            "platform": None,
            "image_type": "machine",
            "hypervisor": "xen",
            "creation_date": "2025-01-01T00:00:00.000Z",
            "root_device_name": "/dev/xvda",
            "root_device_type": "ebs",
            "sriov": "simple",
            "image_location": f"amazon/debian-12-{DEBIAN_NAMES[architecture]}-20250101-1980",
        }
        for architecture, identifier in IDS.items()
    ]


def parameters() -> dict[str, str]:
    """SSM's public parameters: https://wiki.debian.org/Cloud/AmazonEC2Image lists Debian's."""
    return {
        f"/aws/service/debian/release/12/latest/{DEBIAN_NAMES[architecture]}": identifier
        for architecture, identifier in IDS.items()
    }
