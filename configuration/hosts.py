"""`slipway:hosts`: the Docker hosts."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from configuration.base import OnAws, OnLocal, Settings
from configuration.platform import DistributionName
from configuration.types import Gibibytes, InstanceType, Label, Version, Within, distinct, not_empty, reserved

Role = Literal["registry", "build", "app"]
"""What a host does: keeps the images, builds them, runs the services."""


SSH_PORT, ENGINE_PORT, HTTP_PORT = 2200, 23760, 8080
"""Where a local host of slot 0 answers on 127.0.0.1, with no offset."""


HostName = Annotated[Label, AfterValidator(reserved({"localhost": "it is every machine's own name"}))]


class HostSettings(Settings):
    """One Docker host."""

    roles: Annotated[
        tuple[Role, ...],
        AfterValidator(distinct),
        AfterValidator(not_empty("one role or more of registry, build and app")),
        Field(examples=[["registry", "build"]]),
    ]
    """What the host does: `registry` keeps the images (exactly one host), `build` builds them (one host),
    `app` runs services (any number)."""

    slot: OnLocal[Annotated[int, Within(0, 99, "a slot")] | None] = None
    """Which ports of 127.0.0.1 the host has: SSH on 2200 + slot, its engine on 23760 + slot, HTTP on 8080 +
    slot. By default the number at the end of the host's name, else 0."""

    memory: OnLocal[
        Annotated[int, Within(256, 1_048_576, "an amount of memory in MiB for a host")] | None
    ] = None
    """MiB of memory that the host may use, 256 at least; no limit by default. systemd, sshd and Docker
    Engine alone take about 150."""

    type: OnAws[InstanceType | None] = None
    """The host's instance type. By default `platform.instanceType`."""

    root_size: OnAws[Gibibytes | None] = None
    """GiB of the host's root volume. By default `platform.rootSize`. It can grow in place."""

    distribution: OnAws[DistributionName | None] = None
    """What the host runs. By default `platform.distribution`. A change replaces the host."""

    engine_version: OnAws[Version | None] = None
    """The host's Docker Engine's version. By default `platform.engineVersion`. A change replaces the host:
    so it is host by host that a new version comes while the others serve."""

    subnet: OnAws[Annotated[int, Within(1, 16, "the number of a subnet")] | None] = None
    """Which of the network's subnets the host is in, counted from 1. By default the number at the end of
    its name goes round them: web-1 is in the first, web-2 in the second. A host without one is in the first."""


@dataclass(frozen=True)
class LocalPorts:
    """Where a local host answers on 127.0.0.1; the registry's port comes on top on its host."""

    ssh: int
    engine: int
    http: int
    """Only hosts with the role `app` publish it."""


def slot_of_name(host: str) -> int:
    """The number at the end of a host's name, else 0: 12 for `web-12`."""
    number = re.search(r"[0-9]+$", host)
    return int(number.group()) if number else 0
