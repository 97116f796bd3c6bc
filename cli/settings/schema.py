"""What is known of a setting: its meaning, its type, its default. From the schema that editors use, too."""

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stackfile.document import Location
from well_known import NAMESPACE

SCHEMA = Path(__file__).resolve().parents[2] / "slipway.schema.json"
SECRET = ("passwords", "secrets")
"""Settings whose values are secret."""

_DESCRIPTION = re.compile(
    r"(?:Only on `(?P<platform>\w+)`\. )?(?P<meaning>.+?)(?: Default: (?P<default>.+)\.| (?P<required>Required\b.*))",
    re.DOTALL,
)


class UnknownSetting(ValueError):
    """There is no such setting; the text says which one may be meant."""


@dataclass(frozen=True)
class Setting:
    """One setting."""

    path: str
    """`services.web.domain`. In a general one capitals stand for names that users choose: `services.SERVICE.domain`."""
    type: str
    """In words, such as `1 to 65535`."""
    meaning: str
    default: str
    """In words; empty for a required one."""
    required: str
    """`Required` and when; empty for a setting that may be left out."""
    platform: str
    """The only platform that reads it; empty if all do."""
    is_map: bool
    """Whether it holds other settings."""
    name: str = ""
    """For a map with names that users choose: what stands for them, such as `SERVICE`."""

    @property
    def is_secret(self) -> bool:
        """Whether its values are secret."""
        return self.path.partition(".")[0] in SECRET

    @property
    def location(self) -> Location:
        """Where it is in a stack's file."""
        first, *rest = self.path.split(".")
        return ("config", f"{NAMESPACE}:{first}", *rest)


class Schema:
    """The schema of a stack's file."""

    def __init__(self, content: dict[str, Any]) -> None:
        """Take a JSON Schema as `configuration/reference.py` writes it."""
        self._content = content
        keys = content["properties"]["config"]["properties"]
        self._top = {key.removeprefix(f"{NAMESPACE}:"): value for key, value in keys.items()}

    @classmethod
    def read(cls) -> "Schema":
        """The repository's."""
        return cls(json.loads(SCHEMA.read_text(encoding="utf-8")))

    def setting(self, path: str) -> Setting:
        """The setting of this path, with or without `slipway:`.

        Raises:
            UnknownSetting: there is none.

        """
        steps = path.removeprefix(f"{NAMESPACE}:").split(".")
        properties, node = self._top, None
        platform = ""
        for depth, step in enumerate(steps):
            here = ".".join(steps[: depth + 1])
            # An entry of a list: notify[0].url, or notify[] in the reference.
            name = re.sub(r"\[[0-9]*\]$", "", step)
            if name in properties and "items" in properties[name]:
                node = properties[name] if name == step else properties[name]["items"]
            elif step in properties:
                node = properties[step]
            elif pattern := self._names(node) if depth else None:
                expression, node = pattern
                if not re.search(expression, step):
                    raise UnknownSetting(f"{here}: '{step}' is not a name that fits there")
            else:
                raise UnknownSetting(_unknown(here, step, properties))
            platform = self._parts(node).get("platform") or platform
            properties = self._properties(node)
        above = ".".join(steps[:-1])
        found = self._setting(".".join(steps), node or {}, platform)
        # An entry of a map such as `env` has no words of its own.
        return found if found.meaning else replace(found, meaning=self.setting(above).meaning)

    def everything(self) -> Iterator[Setting]:
        """Every setting, each ahead of those inside it; capitals stand for names that users choose."""
        yield from self._everything(self._top, "", "")

    def _everything(self, properties: dict[str, Any], above: str, platform: str) -> Iterator[Setting]:
        for key, node in properties.items():
            path = f"{above}.{key}" if above else key
            own = self._parts(node).get("platform") or platform
            setting = self._setting(path, node, own)
            if not setting.meaning:
                # A part of the value above, such as the one of `{ secret: NAME }`.
                continue
            yield setting
            if below := self._properties(node):
                yield from self._everything(below, path, own)
            elif (names := self._names(node)) and (below := self._properties(names[1])):
                yield from self._everything(below, f"{path}.{setting.name}", own)
            elif below := self._properties(node.get("items")):
                yield from self._everything(below, f"{path}[]", own)

    def _setting(self, path: str, node: dict[str, Any], platform: str) -> Setting:
        parts = self._parts(node)
        names = self._names(node)
        return Setting(
            path,
            _type(node),
            parts.get("meaning") or str(self._resolved(node).get("description") or ""),
            parts.get("default") or "",
            parts.get("required") or "",
            platform,
            bool(self._properties(node) or names),
            path.rpartition(".")[2].removesuffix("s").upper() if names else "",
        )

    def _parts(self, node: dict[str, Any]) -> dict[str, str]:
        found = _DESCRIPTION.fullmatch(str(node.get("description") or ""))
        return {key: value for key, value in found.groupdict().items() if value} if found else {}

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        reference = str(node.get("$ref") or "").rpartition("/")[2]
        return self._content["$defs"][reference] if reference else node

    def _properties(self, node: dict[str, Any] | None) -> dict[str, Any]:
        # A setting may be one of several maps.
        found: dict[str, Any] = {}
        for arm in [arm for arm in (node or {}).get("anyOf", ()) if "$ref" in arm] or [node or {}]:
            resolved = self._resolved(arm)
            if not _is_ciphertext(resolved):
                found |= resolved.get("properties") or {}
        return found

    def _names(self, node: dict[str, Any] | None) -> tuple[str, dict[str, Any]] | None:
        """For a map with names that users choose: their pattern, and the schema of a value."""
        # Of alternatives, one may be a map.
        arm = next((arm for arm in (node or {}).get("anyOf", ()) if arm.get("type") == "object"), node)
        resolved = self._resolved(arm or {})
        other = resolved.get("additionalProperties")
        patterns = resolved.get("patternProperties") or ({"": other} if isinstance(other, dict) else {})
        return next(iter(patterns.items()), None)


def _is_ciphertext(node: dict[str, Any]) -> bool:
    return set(node.get("properties") or {}) == {"secure"}


def _unknown(here: str, step: str, known: dict[str, Any]) -> str:
    near = difflib.get_close_matches(step, list(known), n=1, cutoff=0.6)
    meant = f" Did you mean {'.'.join([*here.split('.')[:-1], near[0]])}?" if near else ""
    there = f" There are: {', '.join(known)}." if known and not near else ""
    return f"{here}: no such setting.{meant}{there}"


def _type(node: dict[str, Any]) -> str:
    """The type in the words of docs/configuration.md."""
    if "enum" in node or "const" in node:
        return " or ".join(str(word) for word in node.get("enum", [node.get("const")]))
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(_type(arm) for arm in node["anyOf"]))
    kind = node.get("type")
    if kind == "array":
        return f"list of {_type(node.get('items') or {})}"
    if kind == "integer":
        return f"{node['minimum']} to {node['maximum']}" if "minimum" in node else "number"
    return {"string": "text", "boolean": "true or false", "number": "number"}.get(str(kind), "map")
