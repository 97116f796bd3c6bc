"""Names of images, as Docker reads them."""

import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"


@dataclass(frozen=True)
class ImageName:
    """An image's name in its parts."""

    registry: str
    """Docker Hub's where the name begins with none."""
    repository: str
    """With Docker Hub's `library/` for its own images."""
    tag: str
    """`latest` where there is none; `""` where there is a digest only."""
    digest: str
    """`sha256:…`, or empty."""

    @classmethod
    def of(cls, text: str) -> "ImageName":
        """The parts of a name, whether it is written in short or as a whole."""
        name, _, digest = text.partition("@")
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            head, tag = name, "" if digest else "latest"
        first, slash, rest = head.partition("/")
        # Docker tells a registry from an account at Docker Hub so.
        if not slash or not (re.search(r"[.:]", first) or first == "localhost"):
            first, rest = DOCKER_HUB, head
        if first == DOCKER_HUB and "/" not in rest:
            rest = f"library/{rest}"
        return cls(first, rest, tag, digest)

    @property
    def tagged(self) -> str:
        """What two ways to write the same name have in common; a digest is no part of it."""
        return f"{self.registry}/{self.repository}:{self.tag}"

    @property
    def source(self) -> str:
        """Where to read it: by its digest if it has one."""
        return f"{self.registry}/{self.repository}@{self.digest}" if self.digest else self.tagged

    @property
    def copy(self) -> str:
        """The repository of its copy: `mirror/debian`, `mirror/ghcr.io/team/app`."""
        if self.registry == DOCKER_HUB:
            return f"mirror/{self.repository.removeprefix('library/')}"
        return f"mirror/{self.registry.replace(':', '-')}/{self.repository}"
