"""Image retention: which images the registry's host may remove, and the in-use markers that protect the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components import script
from components.engine import DockerEngine
from well_known import (
    DEPLOYED_LABEL,
    HOST_LABEL,
    REGISTRY_DATA_PATH,
    SERVED_LABEL,
    SERVICE_LABEL,
    SERVING_LABEL,
    STACK_LABEL,
)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What the registry keeps besides the images in use."""

    keep: int
    """How many of the newest images of each repository to keep."""
    days: int
    """Also keep images that were pushed within this many days."""
    hour: int
    """When the other images are removed each day, 0 to 23 by the host's clock."""
    services: Mapping[str, Sequence[str]]
    """The hosts of each service. Nothing is removed while a service lacks its deployed marker; nothing of a service's
    repositories is removed while one of its hosts lacks a serving marker."""


def retention_values(retention: Retention | None) -> dict[str, str]:
    """The values for registry.sh; empty texts if the registry keeps all images."""
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


@dataclass(frozen=True)
class InUseMarkers:
    """Makes in-use markers: empty volumes whose labels name images, `repository@digest`.

    They are on the engine of the registry's host, which reads them without an account or a connection.
    """

    engine: DockerEngine
    """The engine of the registry's host."""

    def deployed(
        self, service: str, references: Sequence[pulumi.Input[str]], parent: pulumi.Resource
    ) -> docker.Volume:
        """The marker of the images that a service is to run, made before the first container of these images starts.

        It protects images that hosts are about to pull. A successful update removes the previous marker at its end;
        after a failed update, the next one removes it first. So it does not protect the images that hosts still serve
        then; the serving markers do.

        Args:
            service: the service's name.
            references: the service's images, `host:port/repository@digest`.
            parent: the resource that it belongs to.
        """
        options = pulumi.ResourceOptions(parent=parent, delete_before_replace=False)
        return self._marker(f"{service}-deployed", service, {DEPLOYED_LABEL: _images(references)}, options)

    def serving(
        self,
        service: str,
        host: str,
        references: Sequence[pulumi.Input[str]],
        switch: pulumi.Resource,
        parent: pulumi.Resource,
    ) -> docker.Volume:
        """The marker of the images that a service serves on one host, made after the host's proxy has switched to them.

        An update that fails on the host does not reach this marker, so the previous one stays, however many updates
        fail.

        Args:
            service: the service's name.
            host: the name of the host.
            references: the service's images, `host:port/repository@digest`.
            switch: the command that switches the host's traffic.
            parent: the resource that it belongs to.
        """
        options = pulumi.ResourceOptions(parent=parent, depends_on=[switch], delete_before_replace=False)
        labels: dict[str, pulumi.Input[str]] = {HOST_LABEL: host, SERVING_LABEL: _images(references)}
        return self._marker(f"{service}-{host}-served", service, labels, options)

    def served(
        self,
        service: str,
        references: Sequence[pulumi.Input[str]],
        switches: Sequence[pulumi.Resource],
        parent: pulumi.Resource,
    ) -> docker.Volume:
        """A marker that a service has served images. Pulumi keeps the old markers; retention.sh removes useless ones.

        Args:
            service: the service's name.
            references: the service's images, `host:port/repository@digest`.
            switches: the commands that switch the traffic of the last hosts.
            parent: the resource that it belongs to.
        """
        options = pulumi.ResourceOptions(
            parent=parent, depends_on=[*switches], delete_before_replace=False, retain_on_delete=True
        )
        return self._marker(f"{service}-history", service, {SERVED_LABEL: _images(references)}, options)

    def _marker(
        self,
        name: str,
        service: str,
        labels: Mapping[str, pulumi.Input[str]],
        options: pulumi.ResourceOptions,
    ) -> docker.Volume:
        every = {STACK_LABEL: pulumi.get_stack(), SERVICE_LABEL: service, **labels}
        return docker.Volume(
            name,
            labels=[docker.VolumeLabelArgs(label=label, value=value) for label, value in every.items()],
            opts=self.engine.on_engine(options),
        )


def _images(references: Sequence[pulumi.Input[str]]) -> pulumi.Output[str]:
    """The images without the registry's address, separated by blanks."""
    return pulumi.Output.all(*references).apply(
        lambda known: " ".join(reference.partition("/")[2] for reference in known)
    )
