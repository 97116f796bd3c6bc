"""`slipway:platform`: where hosts come from."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool

from configuration.aws import CpuCredits
from configuration.base import OnAws, OnLocal, PlatformKind, Settings
from configuration.constraints import Within, distinct
from configuration.networks import AddressPools, ClosedNetworks, Network
from configuration.types import DomainName, Gibibytes, InstanceType, Region, SubnetId, Url, Version

DistributionName = Literal["debian-12", "debian-13", "ubuntu-24.04", "amazon-linux-2023"]


DEFAULT_CIDR = "10.83.0.0/22"
"""The addresses of a stack's own VPC, by default."""
OWN_SUBNETS = 2
"""Subnets of a stack's own network, each in a zone of its own."""


class NetworkSettings(Settings):
    """Network of a stack on AWS: a VPC of its own unless `default` or `subnets` names another."""

    cidr: Network | None = None
    """Addresses of the stack's own VPC: a private IPv4 network from /16 to /26. Default: 10.83.0.0/22."""

    default: StrictBool = False
    """`true` uses the account's default VPC in the region instead. Default: `false`."""

    subnets: Annotated[
        tuple[SubnetId, ...],
        AfterValidator(distinct),
        Field(examples=[["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]]),
    ] = ()
    """Ids of existing subnets to use instead: all in one VPC, each in another zone, with a route to the
    internet. Default: none."""


class PlatformSettings(Settings):
    """Where hosts come from."""

    kind: PlatformKind = "local"
    """What a host is: with `local` a container on this machine's own Docker Engine, with `aws` an EC2
    instance. Default: `local`."""

    port_offset: OnLocal[Annotated[int, Within(0, 41000, "an offset of ports")]] = 0
    """Number that is added to every port on 127.0.0.1, 0 to 41000, so that several stacks fit on one
    machine. Use steps of 100. Default: 0."""

    region: OnAws[Region | None] = None
    """AWS region of the hosts, such as `eu-central-1`. Required on `aws`."""

    admin_cidrs: OnAws[ClosedNetworks] = ()
    """Networks that may reach SSH and the Docker Engines: those of your office or VPN, none larger than /8
    (IPv6: /20). Required on `aws`."""

    network: OnAws[NetworkSettings] = Field(
        default_factory=NetworkSettings, examples=[{"cidr": "10.83.0.0/22"}]
    )
    """Network of the hosts. Default: a small VPC of the stack's own with two public subnets."""

    connect: OnAws[Literal["public", "private"]] = "public"
    """`public` gives each host an Elastic IP, at which you reach it. `private` gives hosts no public
    address; you reach them through a VPN into `network.subnets`. Default: `public`."""

    address_pools: AddressPools = ()
    """Private networks from which the hosts' engines take the networks of containers. Nothing that talks to
    the services may be in them. A network that a host has already stays until the host is replaced.
    Default: the engine's own, 172.17.0.0/16 and following, or one apart from the networks in the settings."""

    distribution: OnAws[DistributionName] = "debian-12"
    """Linux distribution of the hosts that name none themselves. A change replaces these hosts. Default:
    `debian-12`."""

    instance_type: OnAws[InstanceType] = "t3.small"
    """EC2 instance type of the hosts that name none themselves. With a Graviton type, such as `t4g.small`,
    images are built for `linux/arm64`. Default: `t3.small`, which has 2 GiB of memory."""

    root_size: OnAws[Annotated[Gibibytes, Field(examples=[20])]] = 20
    """GiB of the root volume of the hosts that name no size themselves, 1 to 16384. It holds the system,
    images and containers. Default: 20."""

    cpu_credits: OnAws[CpuCredits | None] = None
    """What hosts of the types T2, T3, T3a and T4g do when they have spent their CPU credits: `standard`
    slows them down, `unlimited` goes on and costs extra. Other types have no credits. Default: AWS's own,
    `unlimited` for all but T2."""

    engine_version: OnAws[Version | None] = None
    """Version of the Docker Engine, such as `28.5.2`, from Docker's repository. Amazon Linux has one version
    only. A change replaces all hosts at once; to change one host at a time, use `hosts.HOST.engineVersion`.
    Default: the distribution's own package."""

    ssh_timeout: OnAws[Annotated[int, Within(30, 3600, "a time in seconds", "seconds")]] = 600
    """Seconds in which a new host has to answer SSH and finish its first boot, 30 to 3600. Default: 600."""

    zone: OnAws[DomainName | None] = None
    """Route 53 zone of the account, such as `example.com`. `registry.domain` and the services' domains get
    a record if they are in this zone. Default: none."""

    endpoint: OnAws[Url | None] = None
    """URL that is used in place of AWS's own endpoints, for trying out. The environment variable
    AWS_ENDPOINT_URL does the same. Default: AWS's own endpoints."""
