"""The settings as a JSON Schema for editors and as a Markdown table for README.

    python -m configuration.reference          writes slipway.schema.json
    python -m configuration.reference --table  prints the table

Editors that use the YAML language server check a stack's file by the schema if its first line says
`# yaml-language-server: $schema=slipway.schema.json`.
"""

import argparse
import ast
import functools
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from configuration.base import Settings, platform_of
from configuration.problems import NAMESPACE
from configuration.settings import StackSettings

SCHEMA = Path(__file__).resolve().parent.parent / "slipway.schema.json"
ROOT = StackSettings

Schema = dict[str, Any]


@functools.cache
def docstrings() -> dict[str, dict[str, str]]:
    """The docstring below each attribute, by class and attribute. Python itself does not keep these."""
    found: dict[str, dict[str, str]] = {}
    modules = dict.fromkeys(model.__module__ for model in models())
    classes = (
        node
        for module in modules
        for node in ast.parse(inspect.getsource(sys.modules[module])).body
        if isinstance(node, ast.ClassDef)
    )
    for node in classes:
        texts = found.setdefault(node.name, {})
        for statement, following in zip(node.body, node.body[1:], strict=False):
            match statement, following:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    texts[name] = inspect.cleandoc(text).replace("\n", " ")
    return found


def meaning(model: type[BaseModel], field: str) -> str:
    """The docstring of a setting, which may stand in a class that the model derives from."""
    texts = docstrings()
    return next(
        texts[kind.__name__][field] for kind in model.__mro__ if field in texts.get(kind.__name__, ())
    )


def description(model: type[BaseModel], field: str) -> str:
    """What a setting means, and on which platform if not on all."""
    platform = platform_of(model.model_fields[field])
    return f"Only on `{platform}`. {meaning(model, field)}" if platform else meaning(model, field)


def schema() -> Schema:
    """The JSON Schema of a stack's file, `Pulumi.<stack>.yaml`."""
    plain = ROOT.model_json_schema()
    by_name = {model.__name__: model for model in models()}
    for name, definition in [(ROOT.__name__, plain), *plain["$defs"].items()]:
        for field, info in by_name[name].model_fields.items():
            definition["properties"][info.alias or field]["description"] = description(by_name[name], field)
    keys = {f"{NAMESPACE}:{key}": value for key, value in _tidy(plain["properties"]).items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a Slipway stack",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": keys,
                # Keys of other programs and providers may stand beside; misspelt ones of its own may not.
                "propertyNames": {"anyOf": [{"enum": list(keys)}, {"not": {"pattern": f"^{NAMESPACE}:"}}]},
            }
        },
        "$defs": _tidy(plain["$defs"]),
    }


def table() -> str:
    """All settings in Markdown: the key, its kind, its default, its meaning."""
    lines = ["| key | kind | default | meaning |", "| --- | --- | --- | --- |"]
    for path, info, needed in _rows(schema()):
        default = "required" if needed else _default(info)
        lines.append(f"| `{path}` | {_kind(info)} | {default} | {info['description']} |")
    return "\n".join(lines) + "\n"


def models(base: type[Settings] = Settings) -> Iterator[type[Settings]]:
    """Every model of settings. All are imported, since the whole configuration is made of them."""
    for model in base.__subclasses__():
        yield model
        yield from models(model)


def _tidy(value: Any) -> Any:
    """Without what only repeats: titles made of names, and the null by which a setting may be left out."""
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
        # In the stack's file a secret is what `pulumi config set --secret` makes of it.
        secure = {"type": "object", "properties": {"secure": {"type": "string"}}, "required": ["secure"]}
        return secure | {"additionalProperties": False}
    return result


def _rows(whole: Schema) -> Iterator[tuple[str, Schema, bool]]:
    """Path, description and whether it must be set, for each setting."""
    for key, info in whole["properties"]["config"]["properties"].items():
        yield key, info, False
        yield from _below(whole, key, info)


def _below(whole: Schema, path: str, info: Schema) -> Iterator[tuple[str, Schema, bool]]:
    inner: Schema = info.get("additionalProperties") or next(
        iter(info.get("patternProperties", {}).values()), {}
    )
    name = path.rpartition(":")[2].removesuffix("s").upper()
    for reference, where in ((info.get("$ref"), path), (inner.get("$ref"), f"{path}.{name}")):
        if reference:
            model = whole["$defs"][reference.rpartition("/")[2]]
            for key, entry in model["properties"].items():
                yield f"{where}.{key}", entry, key in model.get("required", ())
                yield from _below(whole, f"{where}.{key}", entry)


def _kind(info: Schema) -> str:
    if "enum" in info or "const" in info:
        return " or ".join(f"`{word}`" for word in info.get("enum", [info.get("const")]))
    kind = info.get("type")
    if kind == "array":
        return f"list of {_kind(info['items'])}"
    if kind == "integer":
        return f"{info['minimum']} to {info['maximum']}" if "minimum" in info else "number"
    return {"string": "text", "boolean": "`true` or `false`"}.get(str(kind), "map")


def _default(info: Schema) -> str:
    default = info.get("default")
    return "" if default is None or default in ([], {}) else f"`{json.dumps(default)}`".replace('"', "")


def main() -> None:
    """Write the schema, or print the table."""
    parser = argparse.ArgumentParser(description="Describe Slipway's settings.")
    parser.add_argument("--table", action="store_true", help="print a Markdown table instead")
    if parser.parse_args().table:
        print(table(), end="")
    else:
        SCHEMA.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
