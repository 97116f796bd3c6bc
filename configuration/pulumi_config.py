"""The stack's configuration, read from Pulumi."""

import json

import pulumi
from pulumi.runtime import config as pulumi_config

from well_known import NAMESPACE


def _keys() -> list[str]:
    """Every key that is set in Slipway's namespace, known or not. `pulumi.Config` cannot list keys."""
    everything = {**pulumi_config.get_config_env(), **pulumi_config.CONFIG.get()}
    prefix = f"{NAMESPACE}:"
    return [key.removeprefix(prefix) for key in everything if key.startswith(prefix)]


def written() -> dict[str, object]:
    """What the user wrote under each key. Pulumi passes maps and lists as JSON, and all other values as text.

    A key without a value is passed as an empty text. It is no value, and not a missing key either: `services:` alone
    would delete all services.
    """
    config = pulumi.Config(NAMESPACE)
    values: dict[str, object] = {}
    for key in _keys():
        text = config.get(key)
        if text is not None:
            values[key] = _value(text) if text else None
    return values


def secret_keys() -> frozenset[str]:
    """The keys whose value is a secret or contains one."""
    return frozenset(key for key in _keys() if pulumi_config.is_config_secret(f"{NAMESPACE}:{key}"))


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
