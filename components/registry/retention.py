"""Retention: which images the registry's host may remove, and the marks that tell it what services run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components import script
from components.engine import DockerEngine
from components.host import REGISTRY_DATA_PATH

DEPLOYED = "slipway.deployed"
"""Label of the mark of what a service is to run: its images, `repository@digest`, separated by blanks."""
SERVING = "slipway.serving"
"""Label of the mark of what a service serves on one host. Same value."""
SERVED = "slipway.served"
"""Label of a mark of what a service has served at some time. Same value."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What the registry keeps besides what services run."""

    keep: int
    """The newest images of each repository."""
    days: int
    """Those that were pushed within the last days."""
    hour: int
    """When the others are removed each day, 0 to 23 by the host's clock."""
    services: Mapping[str, Sequence[str]]
    """The hosts of each service. Nothing is removed while a service has no mark of what it is to run, and nothing
    of its repositories while a host of it has no mark of what it serves."""


def retention_values(retention: Retention | None) -> dict[str, str]:
    """The values for registry.sh; empty texts where everything is kept."""
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
        "PLACES": " ".join(
            f"{service}/{host}" for service, hosts in retention.services.items() for host in hosts
        ),
    }
    return {
        "RETENTION": script.assignments(settings),
        "RETENTION_TIME": f"{retention.hour:02}:00",
        "RETENTION_SCRIPT": script.text("retention.sh"),
        "RETENTION_RULES": script.text("retention.awk"),
    }


def deployed_mark(
    service: str, engine: DockerEngine, references: Sequence[pulumi.Input[str]], parent: pulumi.Resource
) -> docker.Volume:
    """The mark of what a service is to run, made before its first container of these images starts.

    It protects images that hosts are about to pull. After an update that failed, the mark before it waits for
    Pulumi's next deletions, whatever the hosts serve by then. `serving_mark` says that.

    Args:
        service: the service's name.
        engine: the engine of the registry's host.
        references: the service's images, `host:port/repository@digest`.
        parent: what it belongs to.

    """
    options = pulumi.ResourceOptions(parent=parent, delete_before_replace=False)
    return _mark(f"{service}-deployed", service, {DEPLOYED: _images(references)}, engine, options)


def serving_mark(
    service: str,
    host: str,
    engine: DockerEngine,
    references: Sequence[pulumi.Input[str]],
    switch: pulumi.Resource,
    parent: pulumi.Resource,
) -> docker.Volume:
    """The mark of what a service serves on one host, made once the host's proxy has moved to it.

    An update that fails on the host does not reach this mark, so the one before it stays.

    Args:
        service: the service's name.
        host: the name of the host that serves.
        engine: the engine of the registry's host.
        references: the service's images, `host:port/repository@digest`.
        switch: what moves the host's traffic to the image.
        parent: what it belongs to.

    """
    options = pulumi.ResourceOptions(parent=parent, depends_on=[switch], delete_before_replace=False)
    labels: dict[str, pulumi.Input[str]] = {"slipway.host": host, SERVING: _images(references)}
    return _mark(f"{service}-{host}-served", service, labels, engine, options)


def history_mark(
    service: str,
    engine: DockerEngine,
    references: Sequence[pulumi.Input[str]],
    switch: pulumi.Resource,
    parent: pulumi.Resource,
) -> docker.Volume:
    """A mark that a service has served images. Pulumi leaves the old ones; retention.sh removes those of no use.

    Args:
        service: the service's name.
        engine: the engine of the registry's host.
        references: the service's images, `host:port/repository@digest`.
        switch: what moves the first host's traffic to the image.
        parent: what it belongs to.

    """
    options = pulumi.ResourceOptions(
        parent=parent, depends_on=[switch], delete_before_replace=False, retain_on_delete=True
    )
    return _mark(f"{service}-history", service, {SERVED: _images(references)}, engine, options)


def _images(references: Sequence[pulumi.Input[str]]) -> pulumi.Output[str]:
    """The images without their registry, in one label's value."""
    return pulumi.Output.all(*references).apply(
        lambda known: " ".join(reference.partition("/")[2] for reference in known)
    )


def _mark(
    name: str,
    service: str,
    labels: Mapping[str, pulumi.Input[str]],
    engine: DockerEngine,
    options: pulumi.ResourceOptions,
) -> docker.Volume:
    """An empty volume with labels: the host reads it from its own engine, without an account or a connection."""
    every = {"slipway.stack": pulumi.get_stack(), "slipway.service": service, **labels}
    return docker.Volume(
        name,
        labels=[docker.VolumeLabelArgs(label=label, value=value) for label, value in every.items()],
        opts=engine.runs_here(options),
    )
