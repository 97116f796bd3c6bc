"""The desired state of this machine, read from moto: instances, their disks, and who may reach which port."""

import base64
import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Network = ipaddress.IPv4Network

WIDE = 64
"""For a rule with more ports than this, the emulation listens on `USUAL_PORTS` only."""
USUAL_PORTS = (22, 80, 443, 2376, 5000)
"""SSH, HTTP, HTTPS, Docker Engine and the registry."""


@dataclass(frozen=True)
class Disk:
    """A volume that is attached to an instance, other than its root volume."""

    volume: str
    """The volume's id, `vol-…`."""
    size_gib: int


@dataclass(frozen=True)
class Opening:
    """A range of TCP ports, and the addresses that may connect to it."""

    first: int
    last: int
    sources: Network

    @property
    def ports(self) -> Iterable[int]:
        """The ports to listen on."""
        if self.last - self.first < WIDE:
            return range(self.first, self.last + 1)
        return (port for port in USUAL_PORTS if self.first <= port <= self.last)


@dataclass(frozen=True)
class Machine:
    """An instance that is not terminated."""

    instance: str
    """The instance's id, `i-…`."""
    name: str
    """The tag `Name`, or the id if it has none."""
    running: bool
    network: str
    """The VPC's id."""
    network_range: str
    """The VPC's addresses, as a CIDR block."""
    private_address: str
    host_name: str
    public_address: str
    """An address of this machine, 127.77.x.y; empty if the instance has no public address."""
    user_data: bytes
    public_keys: tuple[str, ...]
    """OpenSSH public keys that may log in as the image's user."""
    architecture: str
    image: str
    disks: tuple[Disk, ...]
    openings: tuple[Opening, ...]


def machines(ec2: Any) -> Iterator[Machine]:
    """The instances of one region that are not terminated."""
    for reservation in list(ec2.reservations.values()):
        for instance in reservation.instances:
            if instance.state != "terminated":
                yield _machine(ec2, instance)


def volumes(ec2: Any) -> dict[str, str]:
    """The volumes of one region by id, and the snapshot that each was made from, empty if it was made blank."""
    return {volume.id: volume.snapshot_id or "" for volume in list(ec2.volumes.values())}


def snapshots(ec2: Any) -> dict[str, str]:
    """The snapshots of one region by id, and the volume that each was made of. Those of machine images are left out."""
    return {
        snapshot.id: snapshot.volume.id for snapshot in list(ec2.snapshots.values()) if not snapshot.from_ami
    }


def _machine(ec2: Any, instance: Any) -> Machine:
    interface = instance.nics[0]
    network = ec2.get_vpc(instance.vpc_id)
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    key = ec2.key_pairs.get(instance.key_name)
    return Machine(
        instance=instance.id,
        name=tags.get("Name") or instance.id,
        running=instance.state == "running",
        network=network.id,
        network_range=network.cidr_block,
        private_address=interface.private_ip_address,
        host_name=instance.private_dns_name.partition(".")[0],
        public_address=interface.public_ip or "",
        user_data=base64.b64decode(str(instance.user_data or "")),
        public_keys=(key.public_key.strip(),) if key else (),
        architecture=instance.architecture,
        image=instance.image_id,
        disks=tuple(
            Disk(block.volume_id, int(ec2.volumes[block.volume_id].size))
            for name, block in sorted(instance.block_device_mapping.items())
            # moto names an instance's root volume so, whatever name the image gives.
            if name not in {instance.root_device_name, "/dev/sda1"}
        ),
        openings=tuple(openings(rule for group in interface.group_set for rule in group.ingress_rules)),
    )


def openings(rules: Iterable[Any]) -> Iterator[Opening]:
    """The openings for IPv4 addresses. Rules that name a group are left out: instances reach each other directly."""
    for rule in rules:
        if not rule.cidr_ipv4 or rule.ip_protocol not in {"tcp", "-1"}:
            continue
        first, last = (1, 65535) if rule.ip_protocol == "-1" else (rule.from_port, rule.to_port)
        yield Opening(first, last, Network(rule.cidr_ipv4, strict=False))
