"""Which images a Dockerfile stands on, so that a build host without a way to Docker Hub can be given them."""

import re
from collections.abc import Mapping
from pathlib import Path

from configuration.files import read_text

_INSTRUCTION = re.compile(r"^\s*(ARG|FROM)\s+(.+?)\s*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::-(?P<default>[^}]*))?\}|(?P<plain>\w+))")


def base_images(dockerfile: Path, arguments: Mapping[str, str], context: Path | None = None) -> list[str]:
    """The images after `FROM`, without `scratch`, earlier stages, and what only the build itself will know.

    Only the arguments before the first `FROM` count for it, as in Docker.

    Args:
        dockerfile: the Dockerfile.
        arguments: the build's arguments.
        context: the build context, which the Dockerfile has to be in; by default the Dockerfile's directory.

    Raises:
        UnfitFile: the Dockerfile is elsewhere by a link, or no text.
    """
    known: dict[str, str] = {}
    stages: set[str] = set()
    images: list[str] = []
    for line in read_text(dockerfile, within=context or dockerfile.parent).replace("\\\n", " ").splitlines():
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        if match[1].upper() == "ARG":
            if not stages and not images:
                for word in match[2].split():
                    name, _, default = word.partition("=")
                    known[name] = arguments.get(name, default.strip("\"'"))
            continue
        words = [word for word in match[2].split() if not word.startswith("--")]
        image = _VARIABLE.sub(
            lambda found: known.get(found["braced"] or found["plain"], "") or found["default"] or "", words[0]
        )
        if image and image != "scratch" and image.lower() not in stages and image not in images:
            images.append(image)
        stages.add(words[2].lower() if len(words) == 3 else f"#{len(stages)}")
    return images
