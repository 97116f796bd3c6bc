"""The images that a host's engine needs before the registry can serve any, by the roles of the host."""

from collections.abc import Iterable
from pathlib import Path

from components.images.base_images import base_images
from configuration.image_names import ImageName
from configuration.services import BaseImageSettings, BuildSettings
from configuration.settings import StackSettings
from well_known import PROXY_IMAGE, REGISTRY_IMAGE


def first_images(settings: StackSettings) -> dict[str, list[str]]:
    """The first images of each host, by the host's name.

    Base images that the registry mirrors are left out: the build host pulls those copies from the registry.
    """
    of_role = {
        "registry": [REGISTRY_IMAGE],
        "build": [
            image
            for service in settings.services.values()
            for image in images_below(service.build)
            if not _is_mirrored(image, settings.registry.mirror)
        ],
        "app": [PROXY_IMAGE],
    }
    return {
        name: sorted({image for role in host.roles for image in of_role[role]})
        for name, host in settings.hosts.items()
    }


def images_below(build: BuildSettings) -> list[str]:
    """The third-party images that the builds of a service start from: the build host needs them."""
    steps = [build] if build.base is None else [build.base, build]
    return [image for step in steps for image in images_below_step(step)]


def images_below_step(step: BaseImageSettings) -> list[str]:
    """The images that one Dockerfile starts from."""
    return base_images(Path(step.dockerfile_path), step.args, Path(step.context))


def _is_mirrored(image: str, mirror: Iterable[str]) -> bool:
    """Whether the registry mirrors an image, whichever way its name is written."""
    return ImageName.of(image).tagged in {ImageName.of(one).tagged for one in mirror}
