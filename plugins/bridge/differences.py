"""What a change of inputs does to a resource: which properties differ, and whether the resource is replaced."""

import re
from typing import Any, cast

from plugins.bridge.schema import Attribute, Attributes, Schema, is_empty, without_defaults
from plugins.protocol.messages import Change, DiffRequest, DiffResponse, PropertyDiff
from plugins.protocol.properties import Properties, Unknown, has_unknown

Changes = dict[str, Change]
"""The changes, by property path."""


def compare(request: DiffRequest, schema: Schema) -> DiffResponse:
    """Compare a resource's state with its new inputs."""
    detailed: dict[str, PropertyDiff] = {}
    diffs: list[str] = []
    replaces: list[str] = []
    for name, changes in property_changes(request, schema.attributes).items():
        diffs.append(name)
        for path, kind in changes.items():
            forced = _forces(path, schema.attributes)
            detailed[path] = PropertyDiff(cast("Change", f"{kind}_REPLACE") if forced else kind)
            replaces += [name] * forced
    replacing = sorted(name for name, attribute in schema.attributes.items() if attribute.force_new)
    return DiffResponse(
        changes=bool(diffs),
        diffs=diffs,
        replaces=replaces,
        stables=[name for name in replacing if name not in replaces],
        delete_before_replace=bool(replaces)
        and (schema.delete_before_replace or _keeps_its_name(request.news, schema)),
        detailed=detailed,
    )


def _keeps_its_name(news: Properties, schema: Schema) -> bool:
    """Say whether the program gives the old and the new resource the same name, so that both cannot exist at once."""
    return bool(schema.autonamed) and schema.autonamed not in news.get("__defaults", ())


def _forces(path: str, attributes: Attributes) -> bool:
    """Say whether a change at `path` replaces the resource. For an object, its fields count too."""
    fields: Attributes | None = attributes
    attribute: Attribute | None = None
    for part in re.findall(r"[A-Za-z_]\w*", path):
        if fields is None or part not in fields:
            return False
        attribute = fields[part]
        if attribute.force_new:
            return True
        fields = attribute.fields
    return attribute is not None and any(field.force_new for field in (attribute.fields or {}).values())


def property_changes(request: DiffRequest, attributes: Attributes) -> dict[str, Changes]:
    """Return the changes between the state and the new inputs, by property, in alphabetical order."""
    ignored = {re.split(r"[.\[]", path)[0] for path in request.ignore_changes}
    news = without_defaults(request.news)
    result = {}
    for name in sorted(attributes.keys() - ignored):
        attribute, old, new = attributes[name], request.olds.get(name), news.get(name)
        if new is None:
            if attribute.computed or attribute.output:
                continue
            new = attribute.default
        if not _same(old, new, attribute):
            result[name] = dict(_changes(name, old, new, attribute))
    return result


def _same(old: Any, new: Any, attribute: Attribute) -> bool:
    if has_unknown(new):
        return False
    if attribute.same is not None:
        return attribute.same(old, new)
    new = _with_computed(old, new, attribute)
    return bool(_canonical(old, attribute) == _canonical(new, attribute))


def _with_computed(old: Any, new: Any, attribute: Attribute) -> Any:
    """Return `new` with those fields of an object from `old` that the provider decides and the program does not set."""
    fields = attribute.fields
    if fields is None or not attribute.single or not isinstance(old, dict) or not isinstance(new, dict):
        return new
    left = {
        name for name, field in fields.items() if (field.computed or field.output) and new.get(name) is None
    }
    return {**new, **{name: old.get(name) for name in left}}


def _canonical(value: Any, attribute: Attribute) -> Any:
    """Return `value` in a form in which values are equal if Terraform treats them as equal."""
    if value is None or is_empty(value):
        return attribute.zero if not attribute.single else None
    if attribute.single:
        return _canonical_object(value, attribute.fields or {})
    if not attribute.is_collection:
        return value
    items = value
    if attribute.fields is not None:
        items = [_canonical_object(item, attribute.fields) for item in value]
    return sorted(items, key=repr) if attribute.shape == "set" else items


def _canonical_object(value: Properties, fields: Attributes) -> Properties:
    return {
        name: field.default
        if value.get(name) is None and field.default is not None
        else _canonical(value.get(name), field)
        for name, field in fields.items()
    }


def _changes(path: str, old: Any, new: Any, attribute: Attribute) -> Changes:
    """Return the changes at and below `path` between two values that differ."""
    if is_empty(old) or is_empty(new):
        return {path: "ADD" if is_empty(old) else "DELETE"}
    whole: Changes = {path: "UPDATE"}
    if isinstance(new, Unknown):
        return whole
    if attribute.single:
        return _object_changes(path, old, new, attribute.fields or {}) or whole
    if attribute.shape == "set":
        return whole if has_unknown(new) else _set_changes(path, old, new, attribute) or whole
    if attribute.shape == "list":
        return _list_changes(path, old, new, attribute) or whole
    if attribute.shape == "map":
        return _map_changes(path, old, new)
    return whole


def _object_changes(path: str, old: Properties, new: Properties, fields: Attributes) -> Changes:
    result: Changes = {}
    for name in sorted(fields):
        field, value = fields[name], new.get(name)
        if value is None:
            value = field.default
        if not (value is None and field.computed) and not _same(old.get(name), value, field):
            result |= _changes(f"{path}.{name}", old.get(name), value, field)
    return result


def _item_changes(path: str, old: Any, new: Any, attribute: Attribute) -> Changes:
    if attribute.fields is None or isinstance(new, Unknown):
        return {} if old == new else {path: "UPDATE"}
    return _object_changes(path, old, new, attribute.fields)


def _list_changes(path: str, old: list[Any], new: list[Any], attribute: Attribute) -> Changes:
    result: Changes = {}
    for index in range(max(len(old), len(new))):
        where = f"{path}[{index}]"
        if index >= len(old):
            result[where] = "ADD"
        elif index >= len(new):
            result[where] = "DELETE"
        else:
            result |= _item_changes(where, old[index], new[index], attribute)
    return result


def _set_changes(path: str, old: list[Any], new: list[Any], attribute: Attribute) -> Changes:
    """Return the items that only one of two sets has, by their index in that set."""
    single = attribute._replace(shape="list")
    removed = {i: item for i, item in enumerate(old) if not any(_same([item], [one], single) for one in new)}
    added = {i: item for i, item in enumerate(new) if not any(_same([one], [item], single) for one in old)}
    result: Changes = {}
    for index in sorted(removed | added):
        where = f"{path}[{index}]"
        if index in removed and index in added:
            result |= _item_changes(where, removed[index], added[index], attribute)
        else:
            result[where] = "DELETE" if index in removed else "ADD"
    return result


def _map_changes(path: str, old: Properties, new: Properties) -> Changes:
    result: Changes = {}
    for key in sorted(old.keys() | new.keys()):
        where = f"{path}.{key}" if re.fullmatch(r"[A-Za-z_$][\w$]*", key) else f'{path}["{key}"]'
        if key not in old:
            result[where] = "ADD"
        elif key not in new:
            result[where] = "DELETE"
        elif old[key] != new[key]:
            result[where] = "UPDATE"
    return result
