"""The base images of a Dockerfile. They are pulled before the build, because BuildKit does not know the accounts."""

import re
from collections.abc import Mapping
from functools import partial

_INSTRUCTION = re.compile(r"^\s*(ARG|FROM)\s+(.+?)\s*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::-(?P<default>[^}]*))?\}|(?P<plain>\w+))")


def base_images(text: str, arguments: Mapping[str, str]) -> list[str]:
    """Return the images after FROM, without `scratch`, other stages, and names that only the build can resolve."""
    known: dict[str, str] = {}
    stages: set[str] = set()
    images: list[str] = []
    for line in re.sub(r"\\\s*\n", " ", text).splitlines():
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        words = match[2].split()
        if match[1].upper() == "ARG":
            if not stages:
                known |= {name: arguments.get(name, default) for name, default in map(_argument, words)}
            continue
        words = [word for word in words if not word.startswith("--")]
        image = _VARIABLE.sub(partial(_value, known), words[0])
        if image and image != "scratch" and image not in images and image.lower() not in stages:
            images.append(image)
        stages.add(words[2].lower() if len(words) > 2 else f"#{len(stages)}")
    return images


def _argument(word: str) -> tuple[str, str]:
    name, _, default = word.partition("=")
    return name, default.strip("\"'")


def _value(known: Mapping[str, str], variable: re.Match[str]) -> str:
    return known.get(variable["braced"] or variable["plain"], "") or variable["default"] or ""
