"""`slipway:hosts`: the Docker hosts."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from configuration.base import OnAws, OnLocal, Settings
from configuration.constraints import Within, distinct, not_empty, reserved
from configuration.platform import DistributionName
from configuration.types import Gibibytes, InstanceType, Label, Port, Version
from well_known import PROXY_CONTAINER, REGISTRY_CONTAINER, REGISTRY_PROXY_CONTAINER

Role = Literal["registry", "build", "app", "edge"]
"""What a host does: keep the images, build them, run the services, or stand before the hosts that do."""

HostName = Annotated[
    Label,
    AfterValidator(
        reserved(
            {
                "localhost": "it is every machine's own name",
                **dict.fromkeys(
                    ("ip6-localhost", "ip6-loopback", "ip6-allnodes", "ip6-allrouters"),
                    "every machine knows it",
                ),
                **dict.fromkeys(
                    (PROXY_CONTAINER, REGISTRY_CONTAINER, REGISTRY_PROXY_CONTAINER),
                    "a container of Slipway's own has it",
                ),
            }
        )
    ),
]


class HostSettings(Settings):
    """One Docker host."""

    roles: Annotated[
        tuple[Role, ...],
        AfterValidator(distinct),
        AfterValidator(not_empty("one role or more of registry, build, app and edge")),
        Field(examples=[["registry", "build"]]),
    ]
    """What the host does: `registry` keeps the images (one host), `build` builds them (one host), `app`
    runs services (any number of hosts), `edge` stands before all app hosts and takes their visitors (any number of
    hosts, none of which has the role `app`). Required."""

    slot: OnLocal[Annotated[int, Within(0, 99, "a slot")] | None] = None
    """Number from 0 to 99 that gives the host its ports on 127.0.0.1: SSH on 2200 + slot, the Docker Engine
    on 23760 + slot, HTTP on 8080 + slot, HTTPS on 8443 + slot, each plus `platform.portOffset`. Default: the
    number at the end of the host's name, or else 0."""

    memory: OnLocal[
        Annotated[int, Within(256, 1_048_576, "an amount of memory in MiB for a host", "MiB")] | None
    ] = None
    """MiB of memory that the host may use, 256 to 1048576. systemd, sshd and the Docker Engine alone take
    about 150. Default: no limit."""

    open_to_containers: Annotated[tuple[Port, ...], AfterValidator(distinct), Field(examples=[[5432]])] = ()
    """TCP ports of the host itself that the containers and build steps of all hosts may reach, 1 to 65535: for a
    database that you installed there, say. Ports 80 and 443 are open to them in any case, all others are not.
    Default: none."""

    type: OnAws[InstanceType | None] = None
    """EC2 instance type of the host. Default: `platform.instanceType`."""

    root_size: OnAws[Gibibytes | None] = None
    """GiB of the host's root volume, 1 to 16384. It can grow in place. Default: `platform.rootSize`."""

    distribution: OnAws[DistributionName | None] = None
    """Linux distribution of the host. A change replaces the host. Default: `platform.distribution`."""

    engine_version: OnAws[Version | None] = None
    """Version of the Docker Engine on the host, not with Amazon Linux. A change replaces the host: set it host
    by host, and the other hosts serve meanwhile. Default: `platform.engineVersion`."""

    subnet: OnAws[Annotated[int, Within(1, 16, "the number of a subnet")] | None] = None
    """Number of the network's subnet that the host is in, 1 to 16. Default: the number at the end of the
    host's name, modulo the number of subnets (web-1 is in the first, web-2 in the second), or else the
    first."""


@dataclass(frozen=True)
class LocalPorts:
    """TCP ports of a local host on 127.0.0.1. The registry's host also publishes the registry's port."""

    ssh: int
    engine: int
    http: int
    """Published by hosts with the role `app` or `edge` only."""
    https: int
    """Published while a service of the host has HTTPS."""


def slot_of_name(host: str) -> int:
    """The number at the end of a host's name, or else 0: 12 for `web-12`."""
    number = re.search(r"[0-9]+$", host)
    return int(number.group()) if number else 0
