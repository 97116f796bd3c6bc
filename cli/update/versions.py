"""The versions of a service, as the stack's outputs record them (components/versions.py writes them)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cli.errors import CommandError
from cli.text import first_line, short_digest, short_revision

DEPLOYED = "deployed"
CLOCKS = timedelta(seconds=2)
"""How much the clock of a host may be behind the one of the machine that updated it."""


@dataclass(frozen=True)
class Versions:
    """The versions of one service."""

    service: str
    current: int
    """The version that was deployed last, whether that succeeded or not."""
    left: tuple[int, ...]
    """Those that a rollback left."""
    versions: tuple[Mapping[str, Any], ...]
    """The newest first."""

    @property
    def numbers(self) -> list[int]:
        """The numbers of all versions, the highest first."""
        return [int(one["number"]) for one in self.versions]

    def version(self, number: int, option: str) -> Mapping[str, Any]:
        """A version.

        Raises:
            CommandError: there is none with this number; the message lists those that there are.

        """
        for one in self.versions:
            if int(one["number"]) == number:
                return one
        raise CommandError(
            f"{self.service} has no version {number}. Versions: {', '.join(map(str, self.numbers))}",
            f"`./slip history {self.service}{option}` shows them.",
            status=1,
        )

    @property
    def before(self) -> int | None:
        """The version to go back to; None if there is none.

        The last good one with a lower number than the current one; if that failed, the one that was deployed last.
        """
        good = [one for one in self.versions if is_good(one) and one["number"] != self.current]
        if is_whole(self.version(self.current, "")):
            return max((int(one["number"]) for one in good if one["number"] < self.current), default=None)
        last = max(good, key=_last_success, default=None)
        return int(last["number"]) if last else None

    def number_of(self, digests: frozenset[str], made: datetime | None) -> int | None:
        """The version that a container runs, by its image and the time that it was made; None if it is none of these.

        Versions can differ in their settings alone. The container was made in the last deployment that had begun by
        then.

        Args:
            digests: every digest of its image.
            made: when it was made.

        """
        found = [
            (datetime.fromisoformat(one["started"]), int(version["number"]))
            for version in self.versions
            if image_of(version, self.service) in digests
            for one in version["deployments"]
        ]
        before = [one for one in found if made is None or one[0] <= made + CLOCKS]
        return (max(before) if before else min(found))[1] if found else None


def is_good(version: Mapping[str, Any]) -> bool:
    """Whether a version was deployed on all its hosts at some time."""
    return any(one["result"] == DEPLOYED for one in version["deployments"])


def _last_success(version: Mapping[str, Any]) -> str:
    """When the last deployment of a good version began that ended well."""
    return max(str(one["started"]) for one in version["deployments"] if one["result"] == DEPLOYED)


def is_whole(version: Mapping[str, Any]) -> bool:
    """Whether a version's last deployment ended well."""
    return bool(version["deployments"][-1]["result"] == DEPLOYED)


def image_of(version: Mapping[str, Any], service: str) -> str:
    """The digest of a version's image."""
    return str(version["images"].get(service, ""))


def of(outputs: Mapping[str, Any], service: str, option: str) -> Versions:
    """The versions of a service.

    Args:
        outputs: the stack's; no secret is needed.
        service: its name.
        option: the option that names the stack on the command line.

    Raises:
        CommandError: the stack does not have the service, or no version of it yet.

    """
    known = outputs.get("versions") or {}
    if service not in known:
        services = sorted({*known, *(outputs.get("serviceHosts") or {})})
        if service in services:
            raise CommandError(
                f"no version of {service} is recorded yet",
                f"`./slip up{option}` records what it deploys.",
                status=1,
            )
        raise CommandError(
            f"the stack has no service {service}. Services: {', '.join(services) or 'none'}", status=1
        )
    return every(outputs)[service]


def every(outputs: Mapping[str, Any]) -> dict[str, Versions]:
    """The versions of all services that have some."""
    return {
        name: Versions(
            name,
            int(one["current"]),
            tuple(int(number) for number in one.get("left") or ()),
            tuple(one["versions"]),
        )
        for name, one in (outputs.get("versions") or {}).items()
        if one.get("versions")
    }


def as_record(versions: Versions, version: Mapping[str, Any]) -> dict[str, Any]:
    """A version as JSON, with its result."""
    deployments = [{**one, "seconds": int(one["seconds"])} for one in version["deployments"]]
    return {
        **version,
        "number": int(version["number"]),
        "deployments": deployments,
        **(
            {"origin": {**origin, "number": int(origin["number"])}}
            if (origin := version.get("origin"))
            else {}
        ),
        "current": int(version["number"]) == versions.current,
        "result": result(version),
    }


def result(version: Mapping[str, Any]) -> str:
    """How a version's last deployment ended."""
    last = version["deployments"][-1]
    if last["result"] != DEPLOYED:
        return "failed"
    if last["cause"] == "rollback":
        return "rolled back to"
    origin = version.get("origin")
    return f"promoted from {origin['stack']} {int(origin['number'])}" if origin else DEPLOYED


def row(versions: Versions, version: Mapping[str, Any]) -> tuple[str, ...]:
    """A version in the table."""
    last, number = version["deployments"][-1], int(version["number"])
    said = f"{result(version)}, current" if number == versions.current else result(version)
    return (
        str(number),
        short_digest(image_of(version, versions.service)).removeprefix("sha256:"),
        short_revision(str(version["revision"])) or "-",
        str(last["started"])[:16].replace("T", " "),
        str(last["author"]),
        f"{int(last['seconds'])} s" if last["seconds"] else "-",
        said,
        ", ".join(last["hosts"]),
        first_line(str(version["message"])),
    )


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], service: str, *, same_key: bool = True
) -> list[tuple[str, str, str]]:
    """What differs between two versions: what it is, and its value in each. A secret has none.

    Args:
        before: a version.
        after: another one.
        service: whose they are.
        same_key: whether one state has hashed the secrets of both. Otherwise nobody knows which of them differ.

    """
    found = []
    if image_of(before, service) != image_of(after, service):
        found.append(
            ("image", short_digest(image_of(before, service)), short_digest(image_of(after, service)))
        )
    if before["revision"] != after["revision"]:
        was, now = (short_revision(str(one["revision"])) or "-" for one in (before, after))
        found.append(("commit", was, now))
    old, new = (dict(_flat("", one["settings"])) for one in (before, after))
    found += [
        (path, old.get(path, "-"), new.get(path, "-"))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]
    secrets_before, secrets_after = before["secrets"], after["secrets"]
    for name in sorted(secrets_before.keys() | secrets_after.keys()):
        first, second = secrets_before.get(name), secrets_after.get(name)
        if first != second:
            what = name if is_file(name) else f"secret {name}"
            other = "another value" if same_key or not first else "a value of another state, the same or not"
            found.append((what, "a value" if first else "-", other if second else "-"))
    return found


def is_file(name: str) -> bool:
    """Whether one of a version's `secrets` is the content of a file (components/service_files.py)."""
    return name.startswith("file ")


def _flat(path: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [
            pair for key, item in value.items() for pair in _flat(f"{path}.{key}" if path else str(key), item)
        ]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return [(path, value if isinstance(value, str) else json.dumps(value))]
