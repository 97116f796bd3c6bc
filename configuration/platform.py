"""`slipway:platform`: where hosts come from."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool

from configuration.base import OnAws, OnLocal, PlatformKind, Settings
from configuration.types import (
    ClosedNetworks,
    DomainName,
    Gibibytes,
    InstanceType,
    Network,
    Region,
    SubnetId,
    Url,
    Version,
    Within,
    distinct,
)

DistributionName = Literal["debian-12", "ubuntu-24.04", "amazon-linux-2023"]


OWN_SUBNETS = 2
"""Subnets of a stack's own network, each in a zone of its own."""


class NetworkSettings(Settings):
    """The network of a stack on AWS: one of its own unless one of the others is named."""

    cidr: Network | None = None
    """Addresses of the stack's own network, a private IPv4 network from /16 to /26. By default 10.83.0.0/22."""

    default: StrictBool = False
    """Whether to use the account's default VPC in the region instead."""

    subnets: Annotated[
        tuple[SubnetId, ...],
        AfterValidator(distinct),
        Field(examples=[["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]]),
    ] = ()
    """Subnets to use instead, all in one VPC, in different zones, with a way out to the internet."""


class PlatformSettings(Settings):
    """Where hosts come from."""

    kind: PlatformKind = "local"
    """What a host is: with `local` a container on this machine's own Docker Engine, with `aws` an EC2 instance."""

    port_offset: OnLocal[Annotated[int, Within(0, 41000, "an offset of ports")]] = 0
    """Added to every port that is published on 127.0.0.1, so that two stacks fit on one machine. Steps
    of 100 keep them apart. The highest one keeps the highest port (23760 + slot 99 + offset) below 65536."""

    region: OnAws[Region | None] = None
    """The region, such as `eu-central-1`. Required there."""

    admin_cidrs: OnAws[ClosedNetworks] = ()
    """Networks that may reach SSH and the Docker Engines: yours. Required there; never the world."""

    network: OnAws[NetworkSettings] = Field(
        default_factory=NetworkSettings, examples=[{"cidr": "10.83.0.0/22"}]
    )
    """The network. By default a small VPC of the stack's own with two public subnets."""

    connect: OnAws[Literal["public", "private"]] = "public"
    """`public`: each host has an Elastic IP, and you reach it there. `private`: no host has a public
    address, and you reach them by a VPN into `network.subnets`."""

    distribution: OnAws[DistributionName] = "debian-12"
    """What the hosts run, where a host says nothing else. A change replaces the hosts."""

    instance_type: OnAws[InstanceType] = "t3.small"
    """The hosts' instance type, where a host names none. By default one with 2 GiB of memory. With
    Graviton's, such as `t4g.small`, images are built for `linux/arm64`."""

    root_size: OnAws[Annotated[Gibibytes, Field(examples=[20])]] = 20
    """GiB of a host's root volume, where a host says nothing else: system, images and containers."""

    engine_version: OnAws[Version | None] = None
    """The Docker Engine's version, such as `28.5.2`: from Docker's repository, or Amazon Linux's own. By
    default the distribution's own package. A change replaces the hosts, all at once; see `hosts.HOST.engineVersion`."""

    ssh_timeout: OnAws[Annotated[int, Within(30, 3600, "a time in seconds")]] = 600
    """Seconds that a new host has to answer SSH and finish its first boot, 30 to 3600."""

    zone: OnAws[DomainName | None] = None
    """A Route 53 zone of the account. `registry.domain` and the services' domains that are in it get
    records."""

    endpoint: OnAws[Url | None] = None
    """Asks this URL in place of AWS's own, for trying out. AWS_ENDPOINT_URL in the environment does the
    same."""
