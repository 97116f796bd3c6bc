"""Retention: which images the registry's host may remove by itself, and how it knows what services run."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components import script
from components.engine import DockerEngine
from components.host import REGISTRY_DATA_PATH

LABEL = "slipway.deployed"
"""On a mark: the images that a service runs, `repository@digest`, separated by blanks."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What the registry keeps besides what services run."""

    keep: int
    """The newest images of each repository."""
    days: int
    """Those that were pushed within the last days."""
    hour: int
    """When the others are removed each day, 0 to 23 by the host's clock."""
    services: Sequence[str]
    """The services that must have a mark: nothing is removed while one has none."""


def retention_values(retention: Retention | None) -> dict[str, str]:
    """What registry.sh wants to know; empty texts where everything is kept."""
    if retention is None:
        return dict.fromkeys(
            ("RETENTION", "RETENTION_TIME", "RETENTION_SCRIPT", "RETENTION_RULES"),
            "",
        )
    settings = {
        "KEEP": str(retention.keep),
        "DAYS": str(retention.days),
        "DATA_PATH": REGISTRY_DATA_PATH,
        "SERVICES": " ".join(retention.services),
    }
    return {
        "RETENTION": script.assignments(settings),
        "RETENTION_TIME": f"{retention.hour:02}:00",
        "RETENTION_SCRIPT": script.text("retention.sh"),
        "RETENTION_RULES": script.text("retention.awk"),
    }


def mark(
    service: str, engine: DockerEngine, references: Sequence[pulumi.Input[str]], parent: pulumi.Resource
) -> docker.Volume:
    """A mark on the registry's host that says which images a service runs: an empty volume with a label.

    It lives exactly as long as the containers: when an update changes the image, Pulumi first makes the new
    mark and removes the old one last, once every host has moved on. After an update that failed there are
    both. So what is marked is what may run somewhere, and the host can ask its own engine.

    Args:
        service: the service's name.
        engine: the engine of the registry's host.
        references: the service's images, `host:port/repository@digest`.
        parent: what it belongs to.
    """
    deployed = pulumi.Output.all(*references).apply(
        lambda known: " ".join(reference.partition("/")[2] for reference in known)
    )
    return docker.Volume(
        f"{service}-deployed",
        labels=[
            docker.VolumeLabelArgs(label="slipway.stack", value=pulumi.get_stack()),
            docker.VolumeLabelArgs(label="slipway.service", value=service),
            docker.VolumeLabelArgs(label=LABEL, value=deployed),
        ],
        opts=engine.runs_here(pulumi.ResourceOptions(parent=parent, delete_before_replace=False)),
    )
