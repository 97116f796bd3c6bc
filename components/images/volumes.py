"""Volumes that a service's own Dockerfiles declare, and that its settings do not name: a deployment warns of them."""

from pathlib import Path

import pulumi

from configuration.files import read_text
from configuration.services import BASE_IMAGE_ARGUMENT, BuildSettings
from configuration.settings import StackSettings
from dockerfiles.dockerfile import volumes

ANY_PLATFORM = "linux/amd64"
"""A Dockerfile declares the same volumes on each platform, unless it takes pains."""


def warn_of_volumes(settings: StackSettings) -> None:
    """Warns of each service whose image has volumes, in previews and updates."""
    for name, build in settings.built_services.items():
        service = settings.services[name]
        kept = {*service.volumes.values(), *(path.removesuffix(":ro") for path in service.bind.values())}
        if paths := [path for path in declared_volumes(build) if path not in kept]:
            pulumi.log.warn(
                f"The image of the service {name} has the volume{'s' if len(paths) > 1 else ''} {', '.join(paths)} "
                f"(VOLUME in its Dockerfile). Each roll-out makes new ones, and what the service wrote there is lost. "
                f"To keep it, name them in slipway:services.{name}.volumes."
            )


def declared_volumes(build: BuildSettings) -> list[str]:
    """The paths, sorted, that the Dockerfiles of a service and of its own base image declare.

    Raises:
        UnfitFile: a Dockerfile is a link out of the context, or is not text.
        InvalidDockerfile: BuildKit would refuse a Dockerfile.
    """
    found: set[str] = set()
    for step, own in ((build.base, {}), (build, {BASE_IMAGE_ARGUMENT: "scratch"} if build.base else {})):
        if step:
            text = read_text(Path(step.dockerfile_path), within=Path(step.context))
            found |= set(volumes(text, {**step.args, **own}, ANY_PLATFORM))
    return sorted(found)
