"""Which images a build takes from elsewhere.

Source: Docker's Dockerfile reference (FROM, ARG, COPY --from, RUN --mount, automatic platform arguments, `# syntax=`).
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dockerfiles.instructions import Instruction, Instructions, InvalidInstruction, parse
from dockerfiles.words import LENGTH, InvalidWord, expand

_SYNTAX_ARGUMENT = "BUILDKIT_SYNTAX"
"""The argument of a build that goes ahead of a line `# syntax=`."""


class InvalidDockerfile(ValueError):
    """BuildKit would refuse the Dockerfile. The text says why."""


@dataclass
class _Stage:
    """What lies between one FROM and the next."""

    name: str
    """In small letters; empty without AS."""
    base: str
    """The image or stage after FROM, with its variables replaced."""
    sources: list[str] = field(default_factory=list)
    """What it copies from: images, or names or numbers of stages."""
    mounts: list[str] = field(default_factory=list)
    """What it mounts: images, or names of stages."""
    volumes: list[str] = field(default_factory=list)
    """The paths of its VOLUME instructions, as they are written."""


def needed_images(
    text: str,
    arguments: Mapping[str, str],
    platform: str,
    build_platform: str | None = None,
    target: str = "",
) -> list[str]:
    """The images that a build takes from an engine or a registry, in the order in which the stages name them.

    Stages that the build does not use count for nothing: BuildKit leaves them out. `scratch` is no image. The image
    that a line `# syntax=` names comes first: BuildKit runs it to read the Dockerfile.

    Args:
        text: the Dockerfile.
        arguments: the build's arguments.
        platform: what the image is for, such as `linux/amd64`.
        build_platform: what the engine runs on; by default the same.
        target: the stage to build; by default the last one.

    Raises:
        InvalidDockerfile: BuildKit would not build it either.
    """
    dockerfile = _parsed(text)
    stages = _stages(dockerfile, _platform_arguments(platform, build_platform or platform), arguments, target)
    used: dict[int, list[str]] = {}
    waiting = [_number(stages, target)]
    while waiting:
        number = waiting.pop()
        if number not in used:
            needed_stages, used[number] = _needs(stages, number)
            waiting += needed_stages
    syntax = arguments.get(_SYNTAX_ARGUMENT, dockerfile.syntax)
    images = dict.fromkeys((syntax, *(image for number in sorted(used) for image in used[number])))
    return [image for image in images if image not in {"", "scratch"}]


def volumes(text: str, arguments: Mapping[str, str], platform: str) -> list[str]:
    """The paths that a Dockerfile declares as volumes of its image: in the last stage, and in the stages below it.

    Images from elsewhere may declare more. Variables in a path stay as they are written.

    Args:
        text: the Dockerfile.
        arguments: the build's arguments.
        platform: what the image is for, such as `linux/amd64`.

    Raises:
        InvalidDockerfile: BuildKit would not build it either.
    """
    stages = _stages(_parsed(text), _platform_arguments(platform, platform), arguments)
    found: list[str] = []
    number: int | None = len(stages) - 1
    while number is not None:
        found += stages[number].volumes
        number = _stage_named(stages[:number], stages[number].base)
    return sorted(set(found))


def _needs(stages: list[_Stage], number: int) -> tuple[list[int], list[str]]:
    """The stages that a stage uses, by number, and the images, in its order.

    FROM knows only the stages above it, and only in the letters of BuildKit, which are small. COPY and RUN know all
    stages, and COPY knows them by their numbers, too.
    """
    stage = stages[number]
    used = [
        (stage.base, _stage_named(stages[:number], stage.base)),
        *(
            (
                source,
                _stage_numbered(stages, source)
                if _is_number(source)
                else _stage_named(stages, source.lower()),
            )
            for source in stage.sources
        ),
        *((source, _stage_named(stages, source.lower())) for source in stage.mounts),
    ]
    return [other for _, other in used if other is not None], [
        source for source, other in used if other is None
    ]


def _number(stages: list[_Stage], target: str) -> int:
    if not target:
        return len(stages) - 1
    number = _stage_named(stages, target.lower())
    if number is None:
        raise InvalidDockerfile(f"it has no stage {target}")
    return number


def _stage_named(stages: list[_Stage], name: str) -> int | None:
    """The stage of this name, the last one if several have it."""
    for number in range(len(stages) - 1, -1, -1):
        if stages[number].name == name != "":
            return number
    return None


def _is_number(source: str) -> bool:
    # Python refuses to read numbers of thousands of digits.
    return re.fullmatch(r"[+-]?[0-9]{1,18}", source) is not None


def _stage_numbered(stages: list[_Stage], source: str) -> int:
    number = int(source)
    if not 0 <= number < len(stages):
        raise InvalidDockerfile(f"COPY --from={source}: it has no stage of this number")
    return number


def _platform_arguments(platform: str, build_platform: str) -> dict[str, str]:
    """The arguments that BuildKit defines by itself for FROM."""
    found: dict[str, str] = {}
    for prefix, text in (("TARGET", platform), ("BUILD", build_platform)):
        system, _, rest = text.partition("/")
        architecture, _, variant = rest.partition("/")
        found |= {
            f"{prefix}PLATFORM": text,
            f"{prefix}OS": system,
            f"{prefix}ARCH": architecture,
            f"{prefix}VARIANT": variant,
        }
    return found


def _parsed(text: str) -> Instructions:
    try:
        return parse(text)
    except InvalidInstruction as error:
        raise InvalidDockerfile(str(error)[:200]) from None


def _stages(
    dockerfile: Instructions, platforms: dict[str, str], arguments: Mapping[str, str], target: str = ""
) -> list[_Stage]:
    known = platforms | {"TARGETSTAGE": target or _last_name(dockerfile.all) or "default"}
    variables = {name: arguments.get(name, value) for name, value in known.items()}
    stages: list[_Stage] = []
    length = 0
    for instruction in dockerfile.all:
        try:
            if instruction.name.upper() == "FROM":
                stages.append(_stage(instruction.words, variables, dockerfile.escape))
            elif instruction.name.upper() == "ARG" and not stages:
                for name, value in _declared(instruction.words, variables, arguments, dockerfile.escape):
                    if value is not None:
                        variables[name] = value
                        length += len(value)
                        if length > LENGTH:
                            raise InvalidWord(f"the arguments have more than {LENGTH} characters")
            elif instruction.name.upper() == "VOLUME" and stages:
                stages[-1].volumes += instruction.words
            elif stages:
                _add_sources(stages[-1], instruction.name.upper(), instruction.flags)
        except InvalidWord as error:
            raise InvalidDockerfile(f"line {instruction.line}: {error}") from None
    if not stages:
        raise InvalidDockerfile("it has no FROM")
    return stages


def _stage(words: tuple[str, ...], variables: Mapping[str, str], escape: str) -> _Stage:
    if len(words) not in {1, 3} or (len(words) == 3 and words[1].upper() != "AS"):
        raise InvalidDockerfile("FROM takes an image and, after AS, a name")
    base = expand(words[0], variables, escape)
    if not base:
        raise InvalidDockerfile(f"FROM {words[0]}: this is empty with the build's arguments")
    return _Stage(words[2].lower() if len(words) == 3 else "", base)


def _declared(
    words: tuple[str, ...], variables: Mapping[str, str], arguments: Mapping[str, str], escape: str
) -> Iterator[tuple[str, str | None]]:
    """The arguments that an ARG declares, with their values. A default that the build replaces is not read."""
    for word in words:
        name, equals, default = word.partition("=")
        if name in arguments:
            yield name, arguments[name]
        else:
            yield name, expand(default, variables, escape) if equals else variables.get(name)


def _last_name(instructions: tuple[Instruction, ...]) -> str:
    """The name of the last stage."""
    *_, words = ((), *(found.words for found in instructions if found.name.upper() == "FROM"))
    return words[2].lower() if len(words) == 3 else ""


def _add_sources(stage: _Stage, instruction: str, flags: tuple[str, ...]) -> None:
    """Add what COPY and RUN take from other stages or images. BuildKit refuses variables there."""
    for flag in flags:
        name, _, value = flag.removeprefix("--").partition("=")
        if instruction == "COPY" and name == "from":
            stage.sources += _without_variables(value)
        elif instruction == "RUN" and name == "mount":
            # A line of CSV, whose fields may be in quotes.
            fields = next(csv.reader([value]), [])
            options = {key.lower(): text for key, _, text in (field.partition("=") for field in fields)}
            stage.mounts += _without_variables(options.get("from", ""))


def _without_variables(source: str) -> list[str]:
    return [source] if source and "$" not in source else []
