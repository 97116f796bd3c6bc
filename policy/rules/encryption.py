"""Data at rest."""

from collections.abc import Iterator

from policy.resource import UNKNOWN, Resource
from policy.rule import rule


@rule("aws:ebs/volume:Volume")
def encrypted_volumes(resource: Resource) -> Iterator[str]:
    """Every EBS volume is encrypted."""
    if resource.inputs.get("encrypted") not in {True, UNKNOWN}:
        yield "is not encrypted. Set `encrypted`."


@rule("aws:ec2/instance:Instance")
def encrypted_disks(resource: Resource) -> Iterator[str]:
    """Every disk of an instance is encrypted."""
    if not resource.knows("rootBlockDevice", "ebsBlockDevices"):
        return
    root = resource.get("rootBlockDevice")
    disks = [root if isinstance(root, dict) else {}, *resource.entries("ebsBlockDevices")]
    for disk in disks:
        if disk.get("encrypted") not in {True, UNKNOWN}:
            yield f"the disk {disk.get('deviceName', 'of the system')} is not encrypted. Set `encrypted`."
