"""The images that a host's engine needs before the registry can serve any, by the roles of the host."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from components.host import Host
from components.images.base_images import base_images
from components.registry_access import RegistryAccess
from configuration.image_names import ImageName
from configuration.services import BASE_IMAGE_ARGUMENT, BaseImageSettings, BuildSettings
from configuration.settings import StackSettings
from well_known import PROXY_IMAGE, REGISTRY_IMAGE


def first_images(
    settings: StackSettings, hosts: Mapping[str, Host], access: RegistryAccess
) -> dict[str, list[str]]:
    """The first images of each host, by the host's name.

    Left out are base images that the build pulls from the stack's registry, with its account: images of that registry,
    and those that it mirrors. load-images.sh has no account.
    """
    build_host = settings.build_host
    of_role = {
        "registry": [REGISTRY_IMAGE, PROXY_IMAGE],
        "build": [
            image
            for build in settings.built_services.values()
            if build_host
            for image in images_below(build, build.platform or hosts[build_host].platform)
            if ImageName.of(image).registry != access.address
            and not _is_mirrored(image, settings.registry.mirror)
        ],
        "app": [PROXY_IMAGE],
        "edge": [PROXY_IMAGE],
    }
    return {
        name: sorted({image for role in host.roles for image in of_role[role]})
        for name, host in settings.hosts.items()
    }


def images_below(build: BuildSettings, platform: str) -> list[str]:
    """The third-party images that the builds of a service use: the build host needs them."""
    if build.base is None:
        return images_below_step(build, platform)
    # The service's own base image is none of them.
    own = {BASE_IMAGE_ARGUMENT: "scratch"}
    return [*images_below_step(build.base, platform), *images_below_step(build, platform, own)]


def images_below_step(
    step: BaseImageSettings, platform: str, more: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """The images that one Dockerfile uses, with `more` build arguments than the settings name."""
    return base_images(Path(step.dockerfile_path), {**step.args, **more}, platform, Path(step.context))


def _is_mirrored(image: str, mirror: Iterable[str]) -> bool:
    """Whether the registry mirrors an image, whichever way its name is written."""
    return ImageName.of(image).tagged in {ImageName.of(one).tagged for one in mirror}
