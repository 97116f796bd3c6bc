"""The actions that the account was asked for, by the names that IAM's policies use: `ec2:RunInstances`."""

import re
import threading
from functools import cache
from pathlib import Path


class Actions:
    """A file with a line for each action."""

    def __init__(self, path: Path) -> None:
        """Go on with the file at `path`, if it exists."""
        self._path = path
        self._noted = set(path.read_text().split()) if path.exists() else set[str]()
        self._lock = threading.Lock()

    def note(self, service: str, action: str) -> None:
        """Add an action to the file, unless it is there."""
        name = f"{service}:{action}"
        with self._lock:
            if service and name not in self._noted:
                self._noted.add(name)
                with self._path.open("a") as file:
                    file.write(f"{name}\n")


def by_path(service: str, method: str, path: str) -> str:
    """The action of a request to a service whose actions are paths; empty if it has no such action."""
    return next(
        (name for verb, pattern, name in _paths(service) if verb == method and pattern.fullmatch(path)), ""
    )


@cache
def _paths(service: str) -> list[tuple[str, re.Pattern[str], str]]:
    """Method, path and name of a service's actions, those with fewer variables first."""
    from botocore.exceptions import UnknownServiceError
    from botocore.loaders import Loader

    try:
        operations = Loader().load_service_model(service, "service-2")["operations"]
    except UnknownServiceError:
        return []
    found = []
    for name, operation in operations.items():
        uri = operation["http"]["requestUri"].partition("?")[0]
        pattern = re.sub(r"\\\{[^}]*\\\+\\\}", ".+", re.escape(uri))
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", pattern).rstrip("/")
        found.append((operation["http"]["method"], re.compile(f"{pattern}/?"), name))
    return sorted(found, key=lambda one: one[1].pattern.count("+"))
