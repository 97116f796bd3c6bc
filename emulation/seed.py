"""What an instance reads when it boots: cloud-init's NoCloud seed, and the list of its block devices."""

import json
from collections.abc import Sequence
from pathlib import Path

from emulation.desired import Machine
from emulation.disks import Device


def write_seed(directory: Path, machine: Machine) -> None:
    """Write the user data and metadata that cloud-init reads in /var/lib/cloud/seed/nocloud."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    metadata = {
        "instance-id": machine.instance,
        "local-hostname": machine.host_name,
        "public-keys": list(machine.public_keys),
    }
    (directory / "meta-data").write_text(json.dumps(metadata))  # JSON is YAML
    (directory / "user-data").write_bytes(machine.user_data)


def device_list(devices: Sequence[tuple[str, Device]]) -> str:
    """The lines that `machine_image/devices` reads. They begin at nvme1n1: on EC2, nvme0n1 is the root volume."""
    return "".join(
        f"nvme{number}n1 {device.major} {device.minor} {volume}\n"
        for number, (volume, device) in enumerate(devices, 1)
    )
