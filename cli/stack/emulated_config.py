"""The configuration of an emulated stack: a copy of the real stack's, without the values of the real AWS account."""

import copy
from collections.abc import Iterable
from typing import Any

OWN_SECRETS = ("passwords", "secrets")
"""Settings with secret values. An emulated stack generates its own values once."""
ADMIN = "127.0.0.1/32"
"""The source address of this machine's connections to an emulated host."""


def emulated_config(real: dict[str, Any], before: dict[str, Any], project: str) -> dict[str, Any]:
    """The content of `Pulumi.<stack>-emulated.yaml`.

    Args:
        real: the content of the real stack's file.
        before: the previous content of the emulated stack's file; empty for a new one.
        project: the project's name: the first part of each key.

    """
    source = real.get("config")
    settings = copy.deepcopy(source) if isinstance(source, dict) else {}
    kept = before.get("config") or {}
    for name in OWN_SECRETS:
        key = f"{project}:{name}"
        settings.pop(key, None)
        if key in kept:
            settings[key] = kept[key]
    platform = settings.get(f"{project}:platform")
    if isinstance(platform, dict):
        _emulate(platform)
    # It would go beside the real one's.
    settings.pop(f"{project}:stateBackup", None)
    content: dict[str, Any] = {"config": settings}
    if "encryptionsalt" in before:
        content["encryptionsalt"] = before["encryptionsalt"]
    return content


def _emulate(platform: dict[str, Any]) -> None:
    """Remove what refers to the real account or network; an emulated stack has a network of its own."""
    platform["adminCidrs"] = [ADMIN]
    platform.pop("endpoint", None)
    platform.pop("connect", None)
    network = platform.get("network")
    if isinstance(network, dict):
        network.pop("subnets", None)


def missing_secrets(content: dict[str, Any], project: str) -> Iterable[str]:
    """The names of the secrets that services use and the configuration does not have."""
    config = content.get("config") or {}
    services = config.get(f"{project}:services")
    known = config.get(f"{project}:secrets") or {}
    wanted: dict[str, None] = {}
    for service in (services or {}).values() if isinstance(services, dict) else ():
        names = service.get("secrets") if isinstance(service, dict) else None
        wanted |= dict.fromkeys(name for name in names or () if isinstance(name, str) and name not in known)
    registry = config.get(f"{project}:registry")
    backed_up = [registry, *services.values()] if isinstance(services, dict) else [registry]
    for owner in backed_up:
        backup = owner.get("backup") if isinstance(owner, dict) else None
        target = backup.get("to") if isinstance(backup, dict) else None
        keys = (target.get("keyId"), target.get("key")) if isinstance(target, dict) else ()
        wanted |= dict.fromkeys(name for name in keys if isinstance(name, str) and name not in known)
    return list(wanted)
