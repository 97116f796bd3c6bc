"""What the program makes of a stack's file: the mistakes in it, and the values in force. For `slip`, as JSON.

    python -m configuration.in_force STACK PROJECT_DIRECTORY < Pulumi.STACK.yaml

`slip` imports none of this package, which takes a third of a second: only commands about settings run it. Encrypted
values stay encrypted; a stand-in counts as their value, and as that of what has no value yet.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configuration.base import STAND_IN
from configuration.load import validate
from configuration.problems import Problem, SettingsError, path_of
from configuration.settings import StackSettings
from stackfile.document import Document
from well_known import HOSTS_ACCOUNT, NAMESPACE


def report(text: str, stack: str, directory: Path) -> dict[str, Any]:
    """The mistakes and the values of a stack's file.

    Args:
        text: the file's text, which has to be YAML.
        stack: the stack's name without an organization.
        directory: the project's.

    Returns:
        `problems`: each with `path` and `text`. `settings`: every setting, given or default; None with mistakes.
        `derived`: by path, the value of a setting that follows from others.
    """
    values = _values(Document.parse(text.encode()).content)
    try:
        settings = validate(values, directory, None, stack)
    except SettingsError as error:
        return {"problems": [_problem(each) for each in error.problems], "settings": None, "derived": {}}
    return {
        "problems": [],
        "settings": settings.model_dump(mode="json", by_alias=True),
        "derived": {path_of(at): value for at, value in _derived(settings).items()},
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {"path": problem.path, "text": str(problem)}


def _values(content: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the program gets them, with stand-ins for secrets."""
    config = content.get("config")
    prefix = f"{NAMESPACE}:"
    values: dict[str, Any] = {
        key.removeprefix(prefix): _plain(_parsed(value))
        for key, value in (config or {}).items()
        if key.startswith(prefix)
    }
    registry = values.get("registry")
    users = registry.get("users") if isinstance(registry, dict) else None
    accounts = [HOSTS_ACCOUNT, *(users if isinstance(users, (list, dict)) else ())]
    if not (isinstance(registry, dict) and registry.get("external")):
        _fill(values, "passwords", accounts)
    services = values.get("services")
    wanted = [
        name
        for service in (services.values() if isinstance(services, dict) else ())
        if isinstance(service, dict) and isinstance(service.get("secrets"), list)
        for name in service["secrets"]
    ]
    wanted += [
        value["secret"]
        for service in (services.values() if isinstance(services, dict) else ())
        if isinstance(service, dict) and isinstance(service.get("env"), dict)
        for value in service["env"].values()
        if isinstance(value, dict) and value.keys() == {"secret"}
    ]
    notices = values.get("notify")
    wanted += [
        notice["url"]["secret"]
        for notice in (notices if isinstance(notices, list) else ())
        if isinstance(notice, dict) and isinstance(notice.get("url"), dict) and "secret" in notice["url"]
    ]
    _fill(values, "secrets", [*wanted, *(["REGISTRY_PASSWORD"] if _is_external(registry) else [])])
    return values


def _is_external(registry: object) -> bool:
    return isinstance(registry, dict) and bool(registry.get("external"))


def _fill(values: dict[str, Any], key: str, names: list[Any]) -> None:
    known = values.get(key, {})
    if isinstance(known, dict) and (names := [name for name in names if isinstance(name, str)]):
        values[key] = dict.fromkeys(names, STAND_IN) | known


def _parsed(value: object) -> object:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _plain(value: object) -> object:
    if isinstance(value, dict):
        if value.keys() == {"secure"}:
            return STAND_IN
        # Pulumi passes maps sorted.
        return {key: _plain(value[key]) for key in sorted(value, key=str)}
    return [_plain(entry) for entry in value] if isinstance(value, list) else value


def _derived(settings: StackSettings) -> dict[tuple[str | int, ...], object]:
    """The settings that are not given and follow from others."""
    found: dict[tuple[str | int, ...], object] = {}
    if settings.registry_host and settings.registry.port is None:
        found["registry", "port"] = settings.registry_port
    is_local = settings.platform.kind == "local"
    for name, host in settings.hosts.items():
        if is_local and host.slot is None:
            found["hosts", name, "slot"] = settings.slot(name)
        for key in ("instance_type", "root_size", "distribution", "engine_version") if not is_local else ():
            own = key.removeprefix("instance_")
            value = getattr(settings.platform, key)
            if getattr(host, own) is None and value is not None:
                found["hosts", name, type(host).model_fields[own].alias or own] = value
    for name, service in settings.services.items():
        if service.hosts is None:
            found["services", name, "hosts"] = list(settings.service_hosts(name))
        if service.tls is None and service.names:
            found["services", name, "tls"] = settings.tls(name)
        if service.health is None:
            check = service.own_check
            found["services", name, "health"] = {"tcp": check.tcp} if check else service.health_path
    if not is_local and settings.registry_host and settings.registry.allowed_cidrs is None:
        found["registry", "allowedCidrs"] = list(settings.registry_networks)
    return found


def main() -> None:
    """Print the report."""
    stack, directory = sys.argv[1:]
    print(json.dumps(report(sys.stdin.read(), stack, Path(directory))))


if __name__ == "__main__":
    main()
