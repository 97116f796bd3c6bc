"""The images that a Dockerfile needs from elsewhere. A build host that cannot reach Docker Hub gets them beforehand."""

from collections.abc import Mapping
from pathlib import Path

from configuration.files import read_text
from dockerfiles.dockerfile import needed_images


def base_images(
    dockerfile: Path, arguments: Mapping[str, str], platform: str, context: Path | None = None
) -> list[str]:
    """The images that the build uses in FROM, `COPY --from` and `RUN --mount`, without unused stages.

    Args:
        dockerfile: the Dockerfile.
        arguments: the build's arguments.
        platform: the platform that the image is built for, such as `linux/amd64`.
        context: the build context that must contain the Dockerfile; by default the Dockerfile's directory.

    Raises:
        UnfitFile: the Dockerfile is a link out of the context, or is not text.
        InvalidDockerfile: BuildKit would refuse the Dockerfile.
    """
    return needed_images(read_text(dockerfile, within=context or dockerfile.parent), arguments, platform)
