"""The stack's configuration as Pulumi hands it to the program."""

import json

import pulumi
from pulumi.runtime import config as pulumi_config

from configuration.problems import NAMESPACE


def _keys() -> list[str]:
    """Every key of Slipway's that is set, known or not. `pulumi.Config` can only be asked for one by name."""
    everything = {**pulumi_config.get_config_env(), **pulumi_config.CONFIG.get()}
    prefix = f"{NAMESPACE}:"
    return [key.removeprefix(prefix) for key in everything if key.startswith(prefix)]


def written() -> dict[str, object]:
    """What the user wrote under each key. Pulumi gives maps and lists as JSON, and everything else as
    text.
    """
    config = pulumi.Config(NAMESPACE)
    values: dict[str, object] = {}
    for key in _keys():
        text = config.get(key)
        # A key with nothing behind it comes as an empty text.
        if text:
            values[key] = _value(text)
    return values


def secret_keys() -> frozenset[str]:
    """The keys that hold a secret, wholly or somewhere inside."""
    return frozenset(key for key in _keys() if pulumi_config.is_config_secret(f"{NAMESPACE}:{key}"))


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
