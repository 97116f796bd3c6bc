"""A resource's inputs: completed with defaults and a name, and derived from the state after a refresh."""

from typing import Any

from plugins.bridge.naming import autoname
from plugins.bridge.schema import Attribute, Attributes, Schema, input_fields, items_of, without_defaults
from plugins.protocol.inputs import validate
from plugins.protocol.messages import CheckFailure, CheckRequest, CheckResponse
from plugins.protocol.properties import Properties, Unknown

_DEFAULTS = "__defaults"


def check(request: CheckRequest, schema: Schema, resource: str) -> CheckResponse:
    """Validate and complete the inputs of a `resource`. `__defaults` lists the inputs that the program did not give.

    For properties in `ignore_changes`, Pulumi passes the completed inputs of the last update, `__defaults` included.
    """
    news: Properties = without_defaults(request.news)
    generated = False
    failures = []
    named = schema.autonamed
    if named and news.get(named) is None:
        try:
            news[named], generated = _generated_name(request, schema), True
        except LookupError as error:
            failures.append(CheckFailure(named, str(error)))
    failures += validate(request._replace(news=news), input_fields(schema.attributes), resource)
    if failures:
        return CheckResponse({}, failures)
    completed = _complete(news, request.olds, schema.attributes)
    if generated:
        completed[_DEFAULTS] = sorted([*completed[_DEFAULTS], named])
    return CheckResponse(completed)


def _generated_name(request: CheckRequest, schema: Schema) -> str:
    named = schema.autonamed
    if named in request.olds.get(_DEFAULTS, ()):
        return str(request.olds[named])
    if request.autonaming is None:
        return autoname(request.name, request.random_seed, schema.name_limit)
    if request.autonaming.mode == "DISABLE":
        raise LookupError(f"the stack's `pulumi:autonaming` is disabled, so this resource needs a `{named}`")
    return request.autonaming.proposed_name


def _complete(news: Properties, olds: Properties, attributes: Attributes) -> Properties:
    result: Properties = {}
    defaults = []
    old_defaults = olds.get(_DEFAULTS, ())
    for name, attribute in attributes.items():
        value = news.get(name)
        if value is not None:
            result[name] = _complete_value(value, olds.get(name), attribute)
        elif not attribute.output and attribute.given_default is not None:
            result[name] = olds[name] if name in old_defaults else attribute.given_default
            defaults.append(name)
    return {_DEFAULTS: sorted(defaults), **result}


def _complete_value(value: Any, old: Any, attribute: Attribute) -> Any:
    if attribute.fields is None or isinstance(value, Unknown):
        return value
    if attribute.single:
        return _complete(value, old if isinstance(old, dict) else {}, attribute.fields)
    olds = old if isinstance(old, list) else []
    return [
        item
        if isinstance(item, Unknown)
        else _complete(item, olds[index] if index < len(olds) else {}, attribute.fields)
        for index, item in enumerate(value)
    ]


def refreshed(inputs: Properties, state: Properties, attributes: Attributes) -> Properties:
    """Return the `inputs` that would lead to the current `state`, which is in Pulumi's form."""
    result: Properties = {}
    kept_defaults = []
    for name, value in inputs.items():
        if name == _DEFAULTS:
            continue
        result[name] = _refreshed_value(value, state.get(name), attributes[name])
        if name in inputs.get(_DEFAULTS, ()) and result[name] == value:
            kept_defaults.append(name)
    return {_DEFAULTS: sorted(kept_defaults), **result} if kept_defaults else result


def _refreshed_value(value: Any, now: Any, attribute: Attribute) -> Any:
    if attribute.fields is None or isinstance(value, Unknown):
        return now
    if attribute.single:
        if not isinstance(value, dict) or not isinstance(now, dict):
            return now
        return refreshed(value, now, attribute.fields)
    remaining = list(items_of(now, attribute) or [])
    result = []
    for item in value:
        # The order may have changed: an item is the one that has all the values that the program gave.
        match = next((one for one in remaining if _gives(item, one)), None)
        if match is not None:
            remaining.remove(match)
            result.append(refreshed(item, match, attribute.fields))
    return result + [configured(item, attribute.fields) for item in remaining]


def _gives(item: Properties, now: Properties) -> bool:
    return all(now.get(name) == value for name, value in item.items() if name != _DEFAULTS)


def configured(state: Properties, attributes: Attributes) -> Properties:
    """Return the inputs that a program needs to get `state`, for an import, which has no inputs."""
    return {
        name: [configured(item, attribute.fields) for item in state[name]]
        if attribute.fields is not None and not attribute.single
        else state[name]
        for name, attribute in attributes.items()
        if attribute.supported
        and not attribute.output
        and (attribute.required or not attribute.computed)
        and state.get(name) not in (None, attribute.zero)
    }
