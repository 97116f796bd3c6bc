"""A plan: what an update does, as a file with a hash, so that what was approved is what happens.

Two clones of the same commit make the same plan of the same state: a plan has no time, no path of this machine and
nothing random. It has no secret either: a value that Pulumi knows as one is left out, and the configuration is there as
digests of what its file has, where secrets are encrypted.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.errors import CommandError
from cli.screen.comment.properties import OF_PLUGINS, changed_properties
from cli.screen.events import Step
from cli.screen.plan.changes import MAKE, REMOVE, REPLACE, WORDS, changes
from cli.screen.plan.changes import Change as ResourceChange
from cli.screen.plan.sentences import about_gone
from cli.screen.record import Record
from cli.stack.project import Project, write_private

VERSION = 1
"""Of the file's format. Another one is refused."""
SHORTEST = 16
"""How many digits of a hash have to be given: 64 bits."""
_PROGRAM = ("Pulumi.yaml", "__main__.py", "*.py", "requirements.txt", "locks/requirements.txt")
_PACKAGES = ("components", "configuration", "dockerfiles", "stackfile")
"""What decides what the program does. Documentation, tests and the command itself change no plan."""


@dataclass(frozen=True)
class Change:
    """What happens to one resource."""

    verb: str
    properties: tuple[str, ...] = ()
    """Each property that changes, as the comment shows it."""
    digest: str = ""
    """Of all inputs that the resource is to have, without secrets."""


@dataclass(frozen=True)
class Image:
    """An image that the stack builds or has built."""

    tag: str
    """It follows the content of the build context."""
    digest: str = ""
    """What the registry has under this tag; empty if it has nothing there, or does not answer."""


@dataclass(frozen=True)
class Plan:
    """What an update does."""

    project: str
    stack: str
    program: str
    """A digest of the Pulumi program and of what it is made with."""
    options: tuple[str, ...] = ()
    """Pulumi's options that were given."""
    configuration: Mapping[str, str] = field(default_factory=dict)
    """A digest of each key of the stack's file."""
    images: Mapping[str, Image] = field(default_factory=dict)
    drift: tuple[str, ...] = ()
    """What is otherwise than the last update left it."""
    changes: Mapping[str, Change] = field(default_factory=dict)
    """By the resource's types and name."""
    version: int = VERSION

    @property
    def hash(self) -> str:
        """SHA-256 of the plan, hexadecimal."""
        return _digest(asdict(self), 64)

    def text(self) -> str:
        """The file's content."""
        return (
            json.dumps({"hash": self.hash, **asdict(self)}, indent=2, sort_keys=True, ensure_ascii=False)
            + "\n"
        )


def read(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        CommandError: the file cannot be read, is no plan, or was edited.

    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        told = content.pop("hash")
        plan = Plan(
            **{
                **content,
                "options": tuple(content["options"]),
                "drift": tuple(content["drift"]),
                "images": {name: Image(**image) for name, image in content["images"].items()},
                "changes": {
                    name: Change(**{**change, "properties": tuple(change["properties"])})
                    for name, change in content["changes"].items()
                },
            }
        )
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", "Name a plan that exists.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CommandError(
            f"{path} is not a plan that this version of Slipway has saved",
            "Save it anew: `./slip preview --save plan.json`.",
        ) from None
    if plan.version != VERSION or told != plan.hash:
        raise CommandError(
            f"{path} was changed after it was saved, or another version of Slipway saved it",
            "Save it anew: `./slip preview --save plan.json`.",
        )
    return plan


def plan_of(
    record: Record,
    *,
    project: Project,
    stack: str,
    configuration: Mapping[str, Any],
    options: Sequence[str],
    images: Mapping[str, Image],
    differences: Sequence[str],
) -> Plan:
    """The plan of a preview.

    Args:
        record: what the preview said.
        project: the clone.
        stack: the stack's name without an organization.
        configuration: the content of the stack's file.
        options: Pulumi's options that were given.
        images: what the registry has under the tags.
        differences: what differs on hosts and in the registry from what the last update made.

    """
    every = changes(record.steps)
    names = _random_names(every)

    def stable(text: str) -> str:
        for name, constant in names.items():
            text = text.replace(name, constant)
        return text.replace(str(project.root), ".")

    gone = [f"{one.about}: {one.text}" for one in about_gone(record.gone)]
    return Plan(
        project.name,
        stack,
        program_digest(project.root),
        tuple(options),
        dict(_configuration(configuration)),
        dict(images),
        tuple(sorted({*gone, *differences})),
        {
            _short(change.step.urn): Change(
                change.verb,
                tuple(stable(line) for line in changed_properties(change.step)),
                _digest(stable(_inputs(change.step))) if change.verb != REMOVE else "",
            )
            for change in every
        },
    )


def _configuration(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    values = content.get("config")
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield str(key), _digest(value)
    if "secretsprovider" in content:
        yield "secretsprovider", _digest(content["secretsprovider"])


def _random_names(every: Sequence[ResourceChange]) -> dict[str, str]:
    """The names that Pulumi makes up for new resources, another in each preview, and what stands for each in a plan.

    They are the resource's name and seven random digits (https://www.pulumi.com/docs/iac/concepts/resources/names/).
    """
    return {
        value: f"{change.step.name}-*"
        for change in every
        if change.verb in {MAKE, REPLACE}
        for value in change.step.after.values()
        if isinstance(value, str) and re.fullmatch(rf"{re.escape(change.step.name)}-[0-9a-f]{{7}}", value)
    }


def _inputs(step: Step) -> str:
    return json.dumps(_without(step.after, OF_PLUGINS), sort_keys=True, default=str)


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


def _short(urn: str) -> str:
    """The resource's types and name: the rest of a URN is the stack and the project."""
    return "::".join(urn.split("::")[2:])


def _digest(value: Any, digits: int = 32) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def program_digest(root: Path) -> str:
    """A digest of the files that the program consists of, their names and contents."""
    files = [path for pattern in _PROGRAM for path in root.glob(pattern)]
    files += [path for name in _PACKAGES for path in (root / name).rglob("*") if path.suffix != ".pyc"]
    found = {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    return _digest(found, 64)


def difference(approved: Plan, now: Plan) -> list[str]:
    """What is otherwise now, a line for each thing; empty if the plans are equal."""
    lines = []
    for name in ("project", "stack", "options", "program"):
        before, after = getattr(approved, name), getattr(now, name)
        if before != after and name == "program":
            lines.append("the program (the files of components/, configuration/ and others) was changed")
        elif before != after:
            lines.append(f"{name}: {_words(before)} was approved, {_words(after)} is now")
    lines += [
        f"configuration: {key} {_state(key, approved.configuration, now.configuration)}"
        for key in _differing(approved.configuration, now.configuration)
    ]
    lines += [
        f"image {name}: {_image(approved, name)} was approved, {_image(now, name)} is now"
        for name in _differing(approved.images, now.images)
    ]
    lines += [f"no longer so: {text}" for text in approved.drift if text not in now.drift]
    lines += [f"changed by hand since: {text}" for text in now.drift if text not in approved.drift]
    for key in _differing(approved.changes, now.changes):
        old, new = approved.changes.get(key), now.changes.get(key)
        kind, _, name = key.rpartition("::")
        lines.append(
            f"{name} ({kind.rpartition('$')[2]}): {_change(old)} was approved, {_change(new, old)} is now"
        )
    return lines


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def _words(value: Any) -> str:
    return (" ".join(value) or "none") if isinstance(value, tuple | list) else str(value)


def _state(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return "was added" if key not in before else "was removed" if key not in after else "was changed"


def _image(plan: Plan, name: str) -> str:
    image = plan.images.get(name)
    if image is None:
        return "none"
    return f"tag {image.tag} ({image.digest[:19] or 'not in the registry'})"


def _change(change: Change | None, before: Change | None = None) -> str:
    if change is None:
        return "no change"
    text = WORDS[change.verb] + (f" ({'; '.join(change.properties)})" if change.properties else "")
    if before and (before.verb, before.properties) == (change.verb, change.properties):
        return f"{text} with other settings"
    return text


def saved(project: Project, wanted: str) -> Plan | None:
    """The plan with this hash that this clone saved; None without one."""
    folder = project.private / "plans"
    found = (
        [path for path in folder.glob("*.json") if path.stem.startswith(wanted)] if folder.is_dir() else []
    )
    return read(found[0]) if len(found) == 1 else None


def save(project: Project, plan: Plan, path: Path) -> None:
    """Write a plan to a file, and keep a copy for the difference that an `up` may have to show.

    Raises:
        CommandError: the file cannot be written.

    """
    try:
        path.write_text(plan.text(), encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"--save {path}: {error.strerror}", "Name a file that can be written.", status=2
        ) from None
    write_private(project.private / "plans" / f"{plan.hash}.json", plan.text())


def approved(project: Project, given: str) -> tuple[str, Plan | None]:
    """The hash that was approved, and the plan if it is here.

    Args:
        project: the clone, which keeps the plans that it saved.
        given: a hash, the beginning of one, or a file with a plan.

    Raises:
        CommandError: it is neither.

    """
    if given.endswith(".json") or Path(given).is_file():
        plan = read(Path(given))
        return plan.hash, plan
    wanted = check_hash(given)
    return wanted, saved(project, wanted)


def check_hash(wanted: str) -> str:
    """A hash, or the beginning of one, as it was given.

    Raises:
        CommandError: it is too short, or no hash.

    """
    text = wanted.strip().lower()
    if not SHORTEST <= len(text) <= 64 or set(text) - set("0123456789abcdef"):
        raise CommandError(
            f"--approved {wanted}: neither the hash of a plan nor a file",
            f"`./slip preview --save plan.json` tells it; at least {SHORTEST} of its digits are needed.",
            status=2,
        )
    return text


def require(wanted: str, before: Plan | None, now: Plan, option: str) -> None:
    """Refuse an update whose plan is not the approved one.

    Args:
        wanted: the approved hash, or its beginning.
        before: the approved plan, if it is here.
        now: the plan of now.
        option: the option that names the stack on the command line.

    Raises:
        CommandError: the plan of now is another one. The message has the difference.

    """
    if now.hash.startswith(wanted):
        return
    if before is None:
        shown = ["the approved plan is not in this clone, so this is all of the plan of now:"]
        shown += [f"{key.rpartition('::')[2]}: {_change(one)}" for key, one in now.changes.items()]
        shown += [f"changed by hand: {text}" for text in now.drift]
    else:
        shown = difference(before, now)
    listed = "".join(f"\n  {line}" for line in shown)
    raise CommandError(
        f"the plan of now is not the approved one, and nothing was changed:{listed}",
        f"Look at the plan of now, and have it approved: `./slip preview{option} --save plan.json`. "
        f"Its hash is {now.hash}.",
    )
