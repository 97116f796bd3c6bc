"""Which images a build takes from elsewhere.

Source: Docker's Dockerfile reference (FROM, ARG, COPY --from, RUN --mount, automatic platform arguments).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dockerfiles.instructions import InvalidInstruction, parse
from dockerfiles.words import LENGTH, InvalidWord, expand


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
    """What it copies or mounts from: images, or names or numbers of stages."""
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

    Stages that the build does not use count for nothing: BuildKit leaves them out. `scratch` is no image.

    Args:
        text: the Dockerfile.
        arguments: the build's arguments.
        platform: what the image is for, such as `linux/amd64`.
        build_platform: what the engine runs on; by default the same.
        target: the stage to build; by default the last one.

    Raises:
        InvalidDockerfile: BuildKit would not build it either.
    """
    stages = _stages(text, _platform_arguments(platform, build_platform or platform), arguments)
    used: dict[int, list[str]] = {}
    waiting = [_number(stages, target)]
    while waiting:
        number = waiting.pop()
        if number not in used:
            needed_stages, used[number] = _needs(stages, number)
            waiting += needed_stages
    images = dict.fromkeys(image for number in sorted(used) for image in used[number])
    return [image for image in images if image != "scratch"]


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
    stages = _stages(text, _platform_arguments(platform, platform), arguments)
    found: list[str] = []
    number: int | None = len(stages) - 1
    while number is not None:
        found += stages[number].volumes
        number = _stage_named(stages[:number], stages[number].base, numbers=False)
    return sorted(set(found))


def _needs(stages: list[_Stage], number: int) -> tuple[list[int], list[str]]:
    """The earlier stages that a stage uses, by number, and the images, in its order."""
    earlier, stage = stages[:number], stages[number]
    numbers, images = [], []
    # Only FROM cannot name a stage by its number.
    for source, by_number in ((stage.base, False), *((source, True) for source in stage.sources)):
        other = _stage_named(earlier, source, numbers=by_number)
        if other is None:
            images.append(source)
        else:
            numbers.append(other)
    return numbers, images


def _number(stages: list[_Stage], target: str) -> int:
    if not target:
        return len(stages) - 1
    number = _stage_named(stages, target, numbers=True)
    if number is None:
        raise InvalidDockerfile(f"it has no stage {target}")
    return number


def _stage_named(stages: list[_Stage], name: str, *, numbers: bool) -> int | None:
    """The stage of this name, the last one if several have it. Where `numbers`, a number names a stage, too."""
    for number in range(len(stages) - 1, -1, -1):
        if stages[number].name == name.lower() != "":
            return number
    # Python refuses to read numbers of thousands of digits.
    is_number = name.isascii() and name.isdecimal() and len(name.lstrip("0")) < 10
    if numbers and is_number and int(name) < len(stages):
        return int(name)
    return None


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


def _stages(text: str, known: dict[str, str], arguments: Mapping[str, str]) -> list[_Stage]:
    try:
        dockerfile = parse(text)
    except InvalidInstruction as error:
        raise InvalidDockerfile(str(error)[:200]) from None
    variables = {name: arguments.get(name, value) for name, value in known.items()}
    stages: list[_Stage] = []
    length = 0
    for instruction in dockerfile.all:
        try:
            if instruction.name.upper() == "FROM":
                stages.append(_stage(instruction.words, variables, dockerfile.escape))
            elif instruction.name.upper() == "ARG" and not stages:
                for name, default in _declared(instruction.words, variables, dockerfile.escape):
                    value = arguments.get(name, default)
                    if value is not None:
                        variables[name] = value
                        length += len(value)
                        if length > LENGTH:
                            raise InvalidWord(f"the arguments have more than {LENGTH} characters")
            elif instruction.name.upper() == "VOLUME" and stages:
                stages[-1].volumes += instruction.words
            elif stages:
                stages[-1].sources += _sources(instruction.name.upper(), instruction.flags)
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
    words: tuple[str, ...], variables: Mapping[str, str], escape: str
) -> Iterator[tuple[str, str | None]]:
    """The arguments that an ARG declares, with their defaults."""
    for word in words:
        name, equals, default = word.partition("=")
        yield name, expand(default, variables, escape) if equals else variables.get(name)


def _sources(instruction: str, flags: tuple[str, ...]) -> list[str]:
    """What COPY, ADD and RUN take from other stages or images. BuildKit replaces no variables there."""
    found = []
    for flag in flags:
        name, _, value = flag.removeprefix("--").partition("=")
        if instruction in {"COPY", "ADD"} and name == "from":
            found.append(value)
        elif instruction == "RUN" and name == "mount":
            options = dict(part.partition("=")[::2] for part in value.split(","))
            found.append(options.get("from", ""))
    return [source for source in found if source and "$" not in source]
