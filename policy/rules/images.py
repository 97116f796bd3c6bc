"""Which image it is that runs."""

import re
from collections.abc import Iterator

from policy.resource import Resource
from policy.rule import rule

_EXACT = re.compile(r"(?:.+@)?sha256:.+")
"""A digest, or an engine's own id of an image."""


@rule("docker:index/container:Container")
def images_by_digest(resource: Resource) -> Iterator[str]:
    """A container names its image by digest or by id, so that it is the same on every host and after each restart."""
    image = resource.get("image")
    if isinstance(image, str) and not _EXACT.fullmatch(image):
        yield f"runs {image}, which may be another image tomorrow. Name it by digest."


@rule("docker:index/remoteImage:RemoteImage", "docker:index/image:Image")
def no_latest(resource: Resource) -> Iterator[str]:
    """No image is pulled or pushed by the tag `latest`, nor without a tag, which means the same."""
    image = resource.get("name") or resource.get("imageName")
    if not isinstance(image, str) or "@" in image or image.startswith("sha256:"):
        return
    tag = image.rpartition("/")[2].partition(":")[2]
    if tag in {"", "latest"}:
        yield f"{image} is whatever was pushed last. Name a version or a digest."
