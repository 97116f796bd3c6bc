"""Names of images, read by Docker's rules."""

import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"


@dataclass(frozen=True)
class ImageName:
    """The parts of an image's name."""

    registry: str
    """`host` or `host:port`; Docker Hub's if the name has none."""
    repository: str
    """Without the registry. Docker Hub's official images begin with `library/`."""
    tag: str
    """`latest` if the name has neither tag nor digest; empty if it has a digest only."""
    digest: str
    """`sha256:…`, or empty."""

    @classmethod
    def of(cls, text: str) -> "ImageName":
        """The parts of a name in its short or its full form."""
        name, _, digest = text.partition("@")
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            head, tag = name, "" if digest else "latest"
        first, slash, rest = head.partition("/")
        # Docker's rule for what is a registry and what an account at Docker Hub.
        if not slash or not (re.search(r"[.:]", first) or first == "localhost"):
            first, rest = DOCKER_HUB, head
        if first == DOCKER_HUB and "/" not in rest:
            rest = f"library/{rest}"
        return cls(first, rest, tag, digest)

    @property
    def tagged(self) -> str:
        """The full name with its tag and without a digest, the same for every way to write it."""
        return f"{self.registry}/{self.repository}:{self.tag}"

    @property
    def source(self) -> str:
        """The full name to pull: by digest if it has one, or else by tag."""
        return f"{self.registry}/{self.repository}@{self.digest}" if self.digest else self.tagged

    @property
    def copy(self) -> str:
        """The repository of the copy in the stack's registry: `mirror/debian`, `mirror/ghcr.io/team/app`."""
        if self.registry == DOCKER_HUB:
            return f"mirror/{self.repository.removeprefix('library/')}"
        return f"mirror/{self.registry.replace(':', '-')}/{self.repository}"
