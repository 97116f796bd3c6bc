"""The settings as a JSON Schema for editors, and in Markdown for `docs/configuration.md`.

    make reference    writes slipway.schema.json, and the generated pages in docs/

Editors that use the YAML language server check a stack's file by the schema if its first line says
`# yaml-language-server: $schema=slipway.schema.json`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from configuration.base import PlatformKind
from configuration.documentation import ROOT, Documentation, documentation, models
from well_known import NAMESPACE

SCHEMA = Path(__file__).resolve().parent.parent / "slipway.schema.json"

Schema = dict[str, Any]

SECRETS = ("passwords", "secrets", "protect")
"""The keys at the top that are no groups. They have the last section."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting in a table."""

    path: str
    """`slipway:hosts.HOST.roles`: the user chooses the names in capitals."""
    type: str
    documentation: Documentation

    @property
    def group(self) -> str:
        """The key at the top, without `slipway:`."""
        return self.path.removeprefix(f"{NAMESPACE}:").partition(".")[0].removesuffix("[]")


def schema() -> Schema:
    """The JSON Schema of a stack's file, `Pulumi.<stack>.yaml`."""
    plain = ROOT.model_json_schema()
    by_name = {model.__name__: model for model in models()}
    for name, definition in [(ROOT.__name__, plain), *plain["$defs"].items()]:
        for field, info in by_name[name].model_fields.items():
            text = documentation(by_name[name], field).text
            definition["properties"][info.alias or field]["description"] = text
    keys = {f"{NAMESPACE}:{key}": value for key, value in _tidy(plain["properties"]).items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a Slipway stack",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": keys,
                # Keys of other programs and providers are allowed; unknown keys of Slipway's own are not.
                "propertyNames": {"anyOf": [{"enum": list(keys)}, {"not": {"pattern": f"^{NAMESPACE}:"}}]},
            }
        },
        "$defs": _tidy(plain["$defs"]),
    }


def rows() -> list[Row]:
    """All settings, each ahead of those inside it."""
    whole = schema()
    keys = whole["properties"]["config"]["properties"]
    return list(_rows(whole, ROOT.__name__, keys))


def markdown() -> str:
    """All settings in Markdown: a heading and a table for each group of settings."""
    groups: dict[str, list[Row]] = {}
    for row in rows():
        groups.setdefault("" if row.group in SECRETS else row.group, []).append(row)
    others = groups.pop("")
    parts = [
        _section(re.sub("(?=[A-Z])", " ", group).capitalize(), members[1:], _introduction(members[0]))
        for group, members in groups.items()
    ]
    return "\n".join([*parts, _section("Secrets and protection", others, "")])


def _introduction(row: Row) -> str:
    default = row.documentation.default
    return f"`{row.path}`: {row.documentation.meaning} Default: {default}.\n\n"


def _section(title: str, members: list[Row], introduction: str) -> str:
    head = ["| key | type | default | platform | meaning |", "| --- | --- | --- | --- | --- |"]
    lines = [
        f"| `{row.path.removeprefix(f'{NAMESPACE}:')}` | {row.type} | {row.documentation.default} "
        f"| {row.documentation.platform or 'all'} | {row.documentation.meaning} |"
        for row in members
    ]
    return f"## {title}\n\n{introduction}" + "\n".join([*head, *lines]) + "\n"


def _tidy(value: Any) -> Any:
    """The schema without titles made from names, and without null for a setting that may be left out."""
    if isinstance(value, list):
        return [_tidy(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    result = {
        key: _tidy(entry)
        for key, entry in value.items()
        if not (key == "title" and isinstance(entry, str)) and not (key == "default" and entry is None)
    }
    arms = result.get("anyOf", [])
    if {"type": "null"} in arms:
        rest = [arm for arm in arms if arm != {"type": "null"}]
        del result["anyOf"]
        result = (rest[0] if len(rest) == 1 else {"anyOf": rest}) | result
    if "patternProperties" in result:
        result["additionalProperties"] = False
    if result.get("format") == "password":
        # `pulumi config set --secret` writes a secret into the stack's file as a map with the key `secure`.
        secure = {"type": "object", "properties": {"secure": {"type": "string"}}, "required": ["secure"]}
        return secure | {"additionalProperties": False}
    return result


def _rows(
    whole: Schema, model: str, properties: Schema, path: str = "", platform: PlatformKind | None = None
) -> Iterator[Row]:
    """The settings of a model, given its properties in the schema, and those inside them.

    Settings inside one that is marked for a platform belong to that platform, too.
    """
    owner = next(each for each in models() if each.__name__ == model)
    names = {info.alias or name: name for name, info in owner.model_fields.items()}
    for key, info in properties.items():
        here = f"{path}.{key}" if path else key
        setting = documentation(owner, names[key.removeprefix(f"{NAMESPACE}:")])
        only = setting.platform or platform
        yield Row(path=here, type=_type(info), documentation=replace(setting, platform=only))
        # Of alternatives, one may be a map.
        shape = next((arm for arm in info.get("anyOf", ()) if arm.get("type") == "object"), info)
        inner: Schema = shape.get("additionalProperties") or next(
            iter(shape.get("patternProperties", {}).values()), {}
        )
        name = key.removeprefix(f"{NAMESPACE}:").removesuffix("s").upper()
        # A setting that is a word or a map, or one of several maps.
        either = [arm["$ref"] for arm in info.get("anyOf", ()) if "$ref" in arm]
        maps = [info["$ref"]] if "$ref" in info else either
        entry = info.get("items", {})
        for reference, where in (
            *((each, here) for each in maps),
            (inner.get("$ref"), f"{here}.{name}"),
            (entry.get("$ref"), f"{here}[]"),
        ):
            if reference:
                below = reference.rpartition("/")[2]
                yield from _rows(whole, below, whole["$defs"][below]["properties"], where, only)


def _type(info: Schema) -> str:
    if "enum" in info or "const" in info:
        return " or ".join(f"`{word}`" for word in info.get("enum", [info.get("const")]))
    if "anyOf" in info:
        return " or ".join(dict.fromkeys(map(_type, info["anyOf"])))
    kind = info.get("type")
    if kind == "array":
        return f"list of {_type(info['items'])}"
    if kind == "integer":
        return f"{info['minimum']} to {info['maximum']}" if "minimum" in info else "number"
    return {"string": "text", "boolean": "`true` or `false`"}.get(str(kind), "map")


def main() -> None:
    """Write the schema."""
    SCHEMA.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
