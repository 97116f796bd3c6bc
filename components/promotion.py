"""An order to deploy a version of another stack: its images by digest, and what is known of them.

`slip promote` has copied the images into this stack's registry by then.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from components.order import order
from components.versions import Origin, Version
from well_known import PROMOTE_VARIABLE


@dataclass(frozen=True)
class Promotion:
    """A version of another stack that this update deploys."""

    images: Mapping[str, str]
    """The digests of the service's image and of its own base image, by repository."""
    source: str
    """The content tag of what the image was built from."""
    revision: str
    """Its commit; empty if it is unknown."""
    message: str
    """The first line of that commit's message."""
    origin: Origin

    @property
    def version(self) -> Version:
        """As a version that this stack has not deployed yet. The settings are those of this stack."""
        return Version(
            number=0,
            images=dict(self.images),
            source=self.source,
            settings={},
            secrets={},
            revision=self.revision,
            message=self.message,
            deployments=[],
            origin=self.origin,
        )


def promotions(variables: Mapping[str, str]) -> dict[str, Promotion]:
    """The promotions in the environment, by service.

    Raises:
        pulumi.RunError: the variable has another form than `slip promote` gives it.
    """
    return order(variables, PROMOTE_VARIABLE, "promote", _promotion)


def _promotion(service: str, written: Mapping[str, object]) -> Promotion:
    images, origin = written["images"], written["origin"]
    if not isinstance(images, Mapping) or not isinstance(origin, Mapping):
        raise TypeError
    if not images[service] or not written["source"]:
        raise LookupError
    return Promotion(
        images={str(name): str(digest) for name, digest in images.items()},
        source=str(written["source"]),
        revision=str(written.get("revision") or ""),
        message=str(written.get("message") or ""),
        origin=Origin(stack=str(origin["stack"]), number=int(origin["number"])),
    )
