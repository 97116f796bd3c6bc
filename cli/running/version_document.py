"""A version as JSON, as the state and the registry have it. Pure functions; imports little, for an everyday update."""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from cli.running.manifest import DIGEST

ARTIFACT_TYPE = "application/vnd.slipway.version.v1+json"
"""The type of a record in a registry, an OCI artifact, and the media type of its only layer: the record as JSON."""
DEPLOYED, FAILED = "deployed", "failed"
_HIGHEST = 10**9
"""The highest number that is believed to be a version's."""


def content(version: Mapping[str, Any]) -> str:
    """A word that is another one for another version, and the same however often this one is deployed."""
    named = ("number", "images", "source", "settings", "revision")
    return sha256(text_of({name: version[name] for name in named}).encode()).hexdigest()[:16]


def result_of(version: Mapping[str, Any]) -> str:
    """Whether a version was deployed on all its hosts at some time."""
    return DEPLOYED if any(one["result"] == DEPLOYED for one in version["deployments"]) else FAILED


def is_version(value: object) -> bool:
    """Whether a JSON value has all that a version has, each of its type."""
    if not isinstance(value, dict):
        return False
    words = all(isinstance(value.get(name), str) for name in ("source", "revision", "message"))
    images, secrets, deployments = (value.get(name) for name in ("images", "secrets", "deployments"))
    return (
        words
        and _is_number(value.get("number"))
        and value["number"] > 0
        and isinstance(value.get("settings"), dict)
        and isinstance(images, dict)
        and all(isinstance(one, str) and DIGEST.fullmatch(one) for one in images.values())
        and isinstance(secrets, dict)
        and all(isinstance(one, str) for one in secrets.values())
        and isinstance(deployments, list)
        and bool(deployments)
        and all(_is_deployment(one) for one in deployments)
        and ("origin" not in value or _is_origin(value["origin"]))
    )


def _is_deployment(value: object) -> bool:
    if not isinstance(value, dict) or not _is_number(value.get("seconds")):
        return False
    if not all(isinstance(value.get(name), str) for name in ("started", "result", "author", "cause")):
        return False
    hosts = value.get("hosts")
    try:
        has_time = datetime.fromisoformat(value["started"]).tzinfo is not None
    except ValueError:
        return False
    return has_time and isinstance(hosts, list) and all(isinstance(one, str) for one in hosts)


def _is_origin(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("stack"), str) and _is_number(value.get("number"))


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _HIGHEST


def whole(value: Any) -> Any:
    """A version's numbers as they were written: none has a fraction, and Pulumi knows floats only."""
    if isinstance(value, Mapping):
        return {str(key): whole(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def text_of(value: object) -> str:
    """JSON in its one form, so that the same value has the same digest."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
