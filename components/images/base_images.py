"""The images that a Dockerfile starts from. A build host that cannot reach Docker Hub needs them beforehand."""

import re
from collections.abc import Mapping
from pathlib import Path

from configuration.files import read_text

_INSTRUCTION = re.compile(r"^\s*(ARG|FROM)\s+(.+?)\s*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::-(?P<default>[^}]*))?\}|(?P<plain>\w+))")


def base_images(dockerfile: Path, arguments: Mapping[str, str], context: Path | None = None) -> list[str]:
    """The images after `FROM`, without `scratch`, earlier stages, and names with arguments that have no value here.

    Only arguments before the first `FROM` apply to `FROM`, as in Docker.

    Args:
        dockerfile: the Dockerfile.
        arguments: the build's arguments.
        context: the build context that must contain the Dockerfile; by default the Dockerfile's directory.

    Raises:
        UnfitFile: the Dockerfile is a link out of the context, or is not text.
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
