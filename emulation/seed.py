"""What an instance finds at its birth: cloud-init's NoCloud seed, and the list of its block devices."""

import json
from collections.abc import Sequence
from pathlib import Path

from emulation.disks import Device
from emulation.wanted import Machine


def write_seed(directory: Path, machine: Machine) -> None:
    """Write user data and metadata, as cloud-init reads them in /var/lib/cloud/seed/nocloud."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    metadata = {
        "instance-id": machine.instance,
        "local-hostname": machine.host_name,
        "public-keys": list(machine.public_keys),
    }
    (directory / "meta-data").write_text(json.dumps(metadata))  # JSON is YAML
    (directory / "user-data").write_bytes(machine.user_data)


def device_list(devices: Sequence[tuple[str, Device]]) -> str:
    """The lines that `machine_image/devices` reads. The root volume is nvme0n1, as on EC2."""
    return "".join(
        f"nvme{number}n1 {device.major} {device.minor} {volume}\n"
        for number, (volume, device) in enumerate(devices, 1)
    )
