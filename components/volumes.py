"""The named volumes of services: data that outlives containers, images and the service itself."""

from collections.abc import Iterable

import pulumi
import pulumi_docker as docker

from components.engine import DockerEngine
from configuration.resource_names import container as container_name
from well_known import STACK_LABEL, VOLUME_LABEL


def make_volumes(
    service: str, names: Iterable[str], engine: DockerEngine, parent: pulumi.Resource
) -> dict[str, pulumi.Output[str]]:
    """A service's volumes on one host: their names on the engine, by the names in the settings.

    The names on the engine are fixed, so that a service which was removed finds its data when it comes back. Pulumi
    never deletes them: only with the machine they go.
    """
    return {
        name: docker.Volume(
            f"{container_name(service, engine.host.name)}-{name}-volume",
            name=f"{service}.{name}",
            labels=[
                docker.VolumeLabelArgs(label=STACK_LABEL, value=pulumi.get_stack()),
                docker.VolumeLabelArgs(label=VOLUME_LABEL, value=service),
            ],
            opts=engine.on_engine(pulumi.ResourceOptions(parent=parent, retain_on_delete=True)),
        ).name
        for name in sorted(names)
    }
