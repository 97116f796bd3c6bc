"""`slip config`: explains settings, shows the values in force and where they come from, and sets them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from cli import console
from cli.errors import CommandError
from cli.settings.program import InForce, in_force
from cli.settings.schema import Schema, Setting, UnknownSetting
from cli.stack import config_file
from cli.stack.file_lock import in_turn
from cli.stack.open import require_configuration
from cli.stack.project import Project
from cli.stack.stack import LOCAL, LOCAL_STACK
from stackfile.document import Document, Location
from stackfile.edit import REMOVED, CannotEdit, changed
from well_known import NAMESPACE

HIDDEN = "[secret]"
"""In place of a secret value."""
MISSING = object()


@dataclass(frozen=True)
class StackFile:
    """The file of a stack."""

    project: Project
    name: str
    text: str
    document: Document
    shown: str
    """The file's name, for people."""

    @classmethod
    def read(cls, project: Project, stack: str) -> "StackFile":
        """The file of a stack, which has to be YAML; `local` has its first one until it is made.

        Raises:
            CommandError: there is none, or it cannot be read.

        """
        short = stack.rpartition("/")[2]
        require_configuration(project, stack)
        config_file.check(project, short, changes=False)
        path = project.config_file(short)
        text = (path if path.exists() else LOCAL_STACK).read_text(encoding="utf-8")
        return cls(project, short, text, Document.parse(text.encode()), path.name)

    @property
    def option(self) -> str:
        """The option that names the stack on the command line."""
        return "" if self.name == LOCAL else f" -s {self.name}"

    def value(self, at: Location) -> object:
        """The value at a location, or MISSING."""
        found: Any = self.document.content
        for step in at:
            found = _parsed(found)
            if not isinstance(found, dict) or step not in found:
                return MISSING
            found = found[step]
        return _parsed(found)

    def source(self, at: Location) -> str:
        """The file and line of a location; of the nearest key above it for JSON in a string."""
        for end in range(len(at), 1, -1):
            if line := self.document.lines.get(at[:end]):
                return f"{self.shown}, line {line}"
        return self.shown


@dataclass(frozen=True)
class Value:
    """The value of a setting, and where it comes from."""

    path: str
    value: Any
    source: str
    """A file with a line, `default`, or `derived` from other settings."""


def values(file: StackFile, schema: Schema, force: InForce) -> Iterator[Value]:
    """Every setting that has a value, in the order of the settings."""
    for path, value in _leaves(schema, force.settings or {}, ""):
        setting = schema.setting(path)
        given = file.value(setting.location)
        if setting.is_secret:
            if given is not MISSING:
                yield Value(path, HIDDEN, file.source(setting.location))
        elif given is not MISSING:
            yield Value(path, value, file.source(setting.location))
        elif (at := f"{NAMESPACE}:{path}") in force.derived or _quoted(path) in force.derived:
            yield Value(path, force.derived.get(at, force.derived.get(_quoted(path))), "derived")
        elif value is not None:
            yield Value(path, value, "default")


def _quoted(path: str) -> str:
    """A path as the program writes it: names that are no identifiers are in brackets."""
    first, *rest = path.split(".")
    return f"{NAMESPACE}:{first}" + "".join(
        f".{step}" if step.replace("-", "_").isidentifier() else f'["{step}"]' for step in rest
    )


def _leaves(schema: Schema, found: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in found.items():
        path = f"{above}.{key}" if above else key
        try:
            setting = schema.setting(path)
        except UnknownSetting:
            continue  # a name with a period
        if setting.is_map and isinstance(value, dict):
            yield from _leaves(schema, value, path)
        else:
            yield path, value


def show_all(stack: str, *, as_json: bool) -> None:
    """Print every setting that has a value, and where that comes from."""
    file = StackFile.read(Project.here(), stack)
    schema = Schema.read()
    force = in_force(file.project, file.name, file.text)
    if force.settings is None:
        raise _refusal(file.shown, [problem.text for problem in force.problems])
    platform = str((force.settings.get("platform") or {}).get("kind"))
    found = [
        each for each in values(file, schema, force) if schema.setting(each.path).platform in {"", platform}
    ]
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=2))
        return
    rows = [(each.path, _text(each.value), each.source) for each in found]
    needed = 10 + sum(max(map(len, cells)) for cells in zip(*rows, strict=True))
    if needed <= console.width():
        console.table(f"Settings of {stack}", ("setting", "value", "from"), rows)
    else:
        for path, value, source in rows:
            console.result(f"{path}: {value} ({source})", bold=len(path))


def explain(stack: str, key: str, *, as_json: bool) -> None:
    """Print what a setting means, its value in force, and where that comes from."""
    schema = Schema.read()
    setting = _setting(schema, key)
    file = StackFile.read(Project.here(), stack)
    force = in_force(file.project, file.name, file.text)
    current = next((each for each in values(file, schema, force) if each.path == setting.path), None)
    given = file.value(setting.location)
    if current is None and given is not MISSING:
        # A map, or a file with mistakes: what is written.
        shown = HIDDEN if setting.is_secret else given
        current = Value(setting.path, shown, file.source(setting.location))
    problems = [each.text for each in force.problems if _is_about(each.path, setting.path)]
    if as_json:
        about = {key: value for key, value in asdict(setting).items() if key not in {"is_map", "name"}}
        print(
            json.dumps(
                {
                    **about,
                    "value": current.value if current else None,
                    "source": current.source if current else None,
                    "problems": problems,
                },
                indent=2,
            )
        )
        return
    console.facts(
        f"{NAMESPACE}:{setting.path}",
        [
            ("Meaning", setting.meaning),
            ("Type", setting.type + (", secret" if setting.is_secret else "")),
            ("Default", setting.default or setting.required.removesuffix(".").replace("R", "r", 1)),
            ("Platform", setting.platform),
            ("Value", _text(current.value) if current else "none"),
            ("From", current.source if current else ""),
            ("Wrong", "\n".join(problems)),
            ("Settings in it", _inside(schema, setting)),
        ],
    )


def _inside(schema: Schema, setting: Setting) -> str:
    if not setting.is_map or setting.is_secret:
        return ""
    depth = setting.path.count(".") + 1
    general = _general(schema, setting.path)
    below = [each.path for each in schema.everything() if each.path.startswith(f"{general}.")]
    return "\n".join(
        dict.fromkeys(
            ".".join([setting.path, *path.split(".")[depth:]])
            for path in below
            if path.count(".") <= depth + 1
        )
    )


def _general(schema: Schema, path: str) -> str:
    """The path with capitals in place of the names that users choose."""
    steps: list[str] = []
    actual: list[str] = []
    for step in path.split("."):
        above = schema.setting(".".join(actual)) if actual else None
        steps.append(above.name if above and above.name else step)
        actual.append(step)
    return ".".join(steps)


def set_(stack: str, key: str, value: str | None) -> None:
    """Set a setting, or with None remove it, if the program has nothing against it.

    Raises:
        CommandError: there is no such setting, it is secret, or the value does not fit; nothing was changed.

    """
    setting = _setting(Schema.read(), key)
    project = Project.here()
    short = stack.rpartition("/")[2]
    option = "" if short == LOCAL else f" -s {stack}"
    if setting.is_secret:
        raise CommandError(
            f"{setting.path} is secret, and arguments are no place for secrets",
            _secret_way(setting, option),
            status=2,
        )
    with in_turn(project.marker(short).with_suffix(".creation")):
        file = StackFile.read(project, stack)
        config_file.check(project, short, changes=True)
        new: object = REMOVED if value is None else _read(setting, value)
        try:
            text = changed(file.text, {setting.location: new})
        except CannotEdit as error:
            raise CommandError(f"{file.shown} cannot be changed so: {error}", "Edit the file.") from None
        if text == file.text:
            console.say(
                f"{setting.path} is {'not set' if value is None else value} already; nothing was changed."
            )
            return
        before = {each.text for each in in_force(project, short, file.text).problems}
        wrong = [each.text for each in in_force(project, short, text).problems if each.text not in before]
        if wrong:
            raise _refusal(f"{key} {'unset' if value is None else value}", wrong)
        _write(project, short, text)
    console.say(
        f"{'Removed' if value is None else 'Set'} {NAMESPACE}:{setting.path} in {file.shown}. "
        f"`./slip preview{option}` says what that changes."
    )


def _setting(schema: Schema, key: str) -> Setting:
    try:
        return schema.setting(key)
    except UnknownSetting as error:
        raise CommandError(
            str(error), "`./slip config` lists the settings that have a value.", status=2
        ) from None


def _secret_way(setting: Setting, option: str) -> str:
    group, *names = setting.path.split(".")
    if group == "passwords":
        return f"`./slip account rotate {names[0] if names else 'NAME'}{option}` makes a new password."
    return f"`./slip secret set {names[0] if names else 'NAME'}{option}` asks for the value."


def _read(setting: Setting, value: str) -> object:
    """The value as in the file: a text stays one, whatever it looks like; anything else is read as YAML."""
    if setting.type == "text":
        return value
    try:
        return Document.parse(f"config: {{value: {value}}}".encode()).content["config"]["value"]
    except (ValueError, LookupError, TypeError, yaml.YAMLError):
        raise CommandError(
            f"{setting.path}: '{value}' is not YAML",
            f"It is {setting.type}. For example: './slip config {setting.path} \"[a, b]\"'.",
            status=2,
        ) from None


def _write(project: Project, stack: str, text: str) -> None:
    """Replace the file's content at once, and keep its mode."""
    path = project.config_file(stack)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    if path.exists():
        temporary.chmod(path.stat().st_mode & 0o777)
    temporary.replace(path)


def _refusal(what: str, wrong: list[str]) -> CommandError:
    lines = "\n".join(f"  {each}" for each in wrong)
    return CommandError(f"{what}: the program refuses this; nothing was changed:\n{lines}", status=2)


def _is_about(problem: str, path: str) -> bool:
    """Whether a problem is about a setting, something in it, or something that it is in."""
    own, other = problem.removeprefix(f"{NAMESPACE}:"), path
    return own == other or own.startswith((f"{other}.", f"{other}[")) or other.startswith(f"{own}.")


def _parsed(value: object) -> object:
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
