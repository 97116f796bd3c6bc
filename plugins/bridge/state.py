"""A resource's state: planned from its inputs, completed with what the engine reports, and written.

The written form is Pulumi's, with two additions of the official plugin: `__meta` (version and time limits), and
`__pulumi_raw_state_delta`, from which it restores Terraform's form.
"""

import json
from collections.abc import Mapping
from typing import Any

from plugins.bridge.schema import (
    Attribute,
    Attributes,
    Schema,
    State,
    is_empty,
    items_of,
    terraform_name,
    without_defaults,
)
from plugins.protocol.messages import UpdateRequest
from plugins.protocol.properties import UNKNOWN, Properties, Unknown, has_unknown

_TIMEOUTS = "e2bfb730-ecaa-11e6-8f88-34363bc7c4c0"
"""The key under which Terraform's SDK keeps a resource's time limits."""
SDK_TIMEOUTS = dict.fromkeys(("create", "delete", "update"), 20 * 60)
"""Seconds: the limits of Terraform's SDK for a resource that has none of its own."""


def plan(inputs: Properties, attributes: Attributes) -> State:
    """Return the state that `inputs` lead to, as far as it is known before a request to the engine."""
    return {name: _planned(inputs.get(name), attribute) for name, attribute in attributes.items()}


def _planned(value: Any, attribute: Attribute) -> Any:
    if value is None:
        if attribute.computed or attribute.output:
            return UNKNOWN
        if attribute.default is not None:
            return attribute.default
        return [] if attribute.is_block else None
    if isinstance(value, Unknown) or not attribute.is_collection:
        return value
    items = items_of(value, attribute) or []
    if attribute.shape == "set" and any(isinstance(item, Unknown) for item in items):
        return UNKNOWN
    if attribute.fields is not None:
        items = [item if isinstance(item, Unknown) else plan_item(item, attribute.fields) for item in items]
    return ordered(items, attribute)


def plan_item(item: Properties, fields: Attributes) -> State:
    """Return an item of a list or set as planned. Text and lists that the program does not give are empty, not null."""
    result: State = {}
    for name, attribute in fields.items():
        value = _planned(item.get(name), attribute)
        if value is None and (attribute.is_collection or attribute.shape == "string"):
            value = attribute.zero
        result[name] = value
    return result


def ordered(items: list[Any], attribute: Attribute) -> list[Any]:
    """Return `items` in the order of a Terraform set, which is sorted by value. A list keeps its order."""
    if attribute.shape != "set" or has_unknown(items):
        return items
    if attribute.fields is None:
        return sorted(set(items), key=lambda item: item.encode())
    return sorted(items, key=lambda item: _sort_key(item, attribute.fields or {}))


def _sort_key(item: State, fields: Attributes) -> list[str]:
    names = sorted(fields, key=lambda name: terraform_name(name, fields[name]))
    return [json.dumps(item.get(name), sort_keys=True) for name in names]


def settle(planned: State, observed: Mapping[str, Any], attributes: Attributes) -> State:
    """Return the state after a creation: the plan, updated with what the engine reports.

    An empty collection that the program does not give stays null, as in Terraform.
    """
    result: State = {}
    for name, attribute in attributes.items():
        value = observed.get(name, planned[name])
        if isinstance(value, Unknown):
            value = [] if attribute.is_collection and attribute.shape == "set" else None
        if planned[name] is None and is_empty(value):
            value = None
        result[name] = value
    return result


def refresh(state: State, observed: Mapping[str, Any], attributes: Attributes) -> State:
    """Return `state` with what the engine reports now, and with zero for null inside lists and sets."""
    return {
        name: observed[name] if name in observed else filled(state.get(name), attribute)
        for name, attribute in attributes.items()
    }


def updated(request: UpdateRequest, schema: Schema, changed: set[str]) -> State:
    """Return the state after an update. Unchanged properties keep their value; a property that was removed is zero."""
    before = from_pulumi(request.olds, schema.attributes)
    planned = plan(without_defaults(request.news), schema.attributes)
    state: State = {}
    for name, attribute in schema.attributes.items():
        value = before[name]
        if name in changed:
            value = attribute.zero if planned[name] is None else planned[name]
        state[name] = value if isinstance(value, Unknown) else filled(value, attribute)
    return state


def filled(value: Any, attribute: Attribute) -> Any:
    """Return `value` with zero for each null inside its items, as in Terraform after the first read."""
    if attribute.fields is None or value is None or isinstance(value, Unknown):
        return value
    return [
        {
            name: field.zero if item.get(name) is None and not field.single else item.get(name)
            for name, field in attribute.fields.items()
        }
        for item in value
    ]


def from_pulumi(properties: Properties, attributes: Attributes) -> State:
    """Return the state that `write` returned as `properties`."""
    return {name: _from_pulumi(properties.get(name), attribute) for name, attribute in attributes.items()}


def _from_pulumi(value: Any, attribute: Attribute) -> Any:
    if isinstance(value, Unknown) or not attribute.is_collection:
        return value
    items = items_of(value, attribute)
    if items is None or attribute.fields is None:
        return items
    fields = attribute.fields
    return [item if isinstance(item, Unknown) else from_pulumi(item, fields) for item in items]


def to_pulumi(state: State, attributes: Attributes) -> Properties:
    """Return `state` in Pulumi's form, without the id and the plugin's own entries."""
    return {name: _to_pulumi(state.get(name), attribute) for name, attribute in attributes.items()}


def _to_pulumi(value: Any, attribute: Attribute) -> Any:
    if value is None or isinstance(value, Unknown) or not attribute.is_collection:
        return value
    if attribute.fields is not None:
        fields = attribute.fields
        value = [item if isinstance(item, Unknown) else to_pulumi(item, fields) for item in value]
    return (value[0] if value else None) if attribute.single else value


def write(resource_id: str, state: State, schema: Schema, *, timeout: float = 0.0) -> Properties:
    """Return the whole state of an existing resource. `timeout` is the operation's own limit in seconds, 0 for none."""
    return {
        **_meta(schema, timeout=timeout),
        "__pulumi_raw_state_delta": raw_state_delta(state, schema.attributes),
        "id": resource_id,
        **to_pulumi(state, schema.attributes),
    }


def write_preview(planned: State, schema: Schema, *, timeout: float = 0.0) -> Properties:
    """Return the whole state of a resource as a preview predicts it."""
    return {
        **(_meta(schema, timeout=timeout, preview=planned) if schema.timeouts else {}),
        "id": UNKNOWN,
        **to_pulumi(planned, schema.attributes),
    }


def _meta(schema: Schema, *, timeout: float = 0.0, preview: State | None = None) -> Properties:
    meta: dict[str, Any] = {}
    if preview is not None:
        # Terraform's SDK keeps the original value of a property that it normalises here: the address of a port.
        meta["_new_extra_shim"] = {
            f"ports.{index}.ip": port["ip"] for index, port in enumerate(preview.get("ports") or [])
        }
    if schema.timeouts:
        meta[_TIMEOUTS] = {
            name: int((timeout or seconds) * 10**9) for name, seconds in sorted(schema.timeouts.items())
        }
    if schema.version and preview is None:
        meta["schema_version"] = schema.version
    return {"__meta": json.dumps(meta, separators=(",", ":"))} if meta else {}


def raw_state_delta(state: State, attributes: Attributes) -> Properties:
    """Return how `state` in Pulumi's form differs from Terraform's form: names, sets, and lists of one item."""
    parts = {name: _delta(state.get(name), attribute) for name, attribute in attributes.items()}
    renamed = {name: each.terraform_name for name, each in attributes.items() if each.terraform_name}
    inner: Properties = {}
    if any(part is not None for part in parts.values()):
        inner["ps"] = {name: part for name, part in parts.items() if part is not None}
    if renamed:
        inner["renamed"] = renamed
    return {"obj": inner}


def _delta(value: Any, attribute: Attribute) -> Properties | None:
    if value is None or isinstance(value, Unknown):
        return None
    if attribute.shape == "map":
        return {"map": {}}
    if not attribute.is_collection:
        return None
    items = {}
    if attribute.fields is not None:
        items = {str(index): raw_state_delta(item, attribute.fields) for index, item in enumerate(value)}
    if attribute.single:
        return {"plu": {"i": items.get("0", {})}}
    return {"arr": {"el": items} if items else {}}
