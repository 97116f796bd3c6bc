"""Versions: what a service runs with, as a record in the stack's outputs. Pure functions.

A version is an image, settings and secrets. The same three are the same version, so that a rollback, or a commit that
takes another one back, deploys a version again. The records are an output of the stack: everybody with its backend sees
the same, and a plain `pulumi up` keeps them, too.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, cast

from typing_extensions import TypedDict

from configuration.services import ServiceSettings

BEGUN: Literal["begun"] = "begun"
"""The result of a deployment that has not ended well: it runs, it failed, or it was killed."""
DEPLOYED: Literal["deployed"] = "deployed"

NOT_RECORDED = ("build", "hosts", "allowedCidrs", "auth", "rateLimit", "errorPage", "backup", "rollout")
"""Settings of a service that are no part of a version: an image is not built again, and hosts, firewalls, backups, the
batches of a roll-out and what the proxy demands of visitors are as the configuration has them now."""

KEPT = 10
"""How many good versions are remembered, and how many others, where the registry has no rule of its own."""
KEPT_DEPLOYMENTS = 5
"""How many deployments of a version are remembered."""
_HASH_DIGITS = 16


class Deployment(TypedDict):
    """One time that a version was rolled out."""

    started: str
    seconds: int
    result: str
    author: str
    hosts: list[str]
    cause: str


class Origin(TypedDict):
    """The version of another stack that a version was promoted from."""

    stack: str
    number: int


class Version(TypedDict):
    """One version of a service."""

    number: int
    images: dict[str, str]
    source: str
    settings: dict[str, Any]
    secrets: dict[str, str]
    revision: str
    message: str
    deployments: list[Deployment]
    origin: NotRequired[Origin]


class ServiceVersions(TypedDict):
    """The versions of a service."""

    current: int
    left: list[int]
    built: str
    versions: list[Version]
    pinned: NotRequired[list[str]]
    """Content tags of the trees that no update builds by itself, since a version of another stack was promoted."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What an update is to deploy."""

    number: int | None
    """Of a version that exists and is to be deployed again; None to go by the content."""
    images: Mapping[str, str]
    """The digest of the service's image and of its own base image, by repository; the service's own first."""
    source: str
    """The content tag of what the image was built from."""
    settings: Mapping[str, Any]
    secrets: Mapping[str, str]
    left: Sequence[int]
    """The versions that a rollback left, and that no update deploys by itself."""
    built: str
    """The content tag of the image that the state has."""
    origin: Origin | None = None
    """Where it was promoted from, if it was."""
    pinned: Sequence[str] = ()
    """Content tags of the trees that no update builds by itself."""

    def is_same(self, version: Version) -> bool:
        """Whether a version is the same image with the same settings and secrets."""
        return (
            _first(self.images) == _first(version["images"])
            and dict(self.settings) == version["settings"]
            and dict(self.secrets) == version["secrets"]
        )


def _first(images: Mapping[str, str]) -> str:
    """The digest of the service's own image: Pulumi sorts mappings, and `web` comes before `web-base`."""
    return images[min(images)] if images else ""


def recorded(known: object) -> ServiceVersions | None:
    """A service's versions from the stack's outputs; None if there are none. Pulumi's numbers are floats."""
    if not isinstance(known, Mapping) or not known.get("versions"):
        return None
    found = ServiceVersions(
        current=int(known["current"]),
        left=[int(number) for number in known.get("left") or ()],
        built=str(known.get("built") or ""),
        versions=[version_of(one) for one in known["versions"]],
    )
    return _pinned(found, [str(tag) for tag in known.get("pinned") or ()])


def _pinned(known: ServiceVersions, trees: Sequence[str]) -> ServiceVersions:
    if trees:
        known["pinned"] = sorted(trees)
    return known


def version_of(known: Mapping[str, Any]) -> Version:
    """A version as it was written, with whole numbers.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it is none.
    """
    found = Version(
        number=int(known["number"]),
        images=dict(known["images"]),
        source=str(known["source"]),
        settings=_whole(known["settings"]),
        secrets=dict(known["secrets"]),
        revision=str(known["revision"]),
        message=str(known["message"]),
        deployments=[
            cast("Deployment", {**one, "seconds": int(one["seconds"])}) for one in known["deployments"]
        ],
    )
    if origin := known.get("origin"):
        found["origin"] = Origin(stack=str(origin["stack"]), number=int(origin["number"]))
    return found


def _whole(value: Any) -> Any:
    """Numbers as they were written: no setting has a fraction, and Pulumi knows floats only."""
    if isinstance(value, Mapping):
        return {str(key): _whole(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def find(known: ServiceVersions | None, number: int) -> Version | None:
    """The version with a number."""
    return next((one for one in (known["versions"] if known else ()) if one["number"] == number), None)


def is_good(version: Version) -> bool:
    """Whether a version was deployed on all its hosts at some time."""
    return any(one["result"] == DEPLOYED for one in version["deployments"])


def settings_of(service: ServiceSettings) -> dict[str, Any]:
    """The settings that belong to a version: those that the configuration sets, as it writes them."""
    written = service.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {key: _whole(value) for key, value in written.items() if key not in NOT_RECORDED}


def secret_hashes(service: str, secrets: Mapping[str, str], key: str) -> dict[str, str]:
    """A keyed hash of each secret: it tells whether a secret is another one, and nobody can guess the secret by it."""
    return {
        name: hmac.new(key.encode(), f"{service}\0{name}\0{value}".encode(), hashlib.sha256).hexdigest()[
            :_HASH_DIGITS
        ]
        for name, value in sorted(secrets.items())
    }


def begun(
    known: ServiceVersions | None,
    wanted: Candidate,
    deployment: Deployment,
    origin: tuple[str, str],
    keep: int,
) -> ServiceVersions:
    """The versions as an update begins: with a new deployment, unless the wanted version is deployed already.

    Args:
        known: the versions before.
        wanted: what the update deploys.
        deployment: the update.
        origin: the commit of a new version and its message.
        keep: how many good versions to keep, and how many others.
    """
    versions = list(known["versions"]) if known else []
    match = next(
        (
            one
            for one in versions
            if (wanted.is_same(one) if wanted.number is None else one["number"] == wanted.number)
        ),
        None,
    )
    number = match["number"] if match else max((one["number"] for one in versions), default=0) + 1
    found = _pinned(
        ServiceVersions(
            current=number, left=sorted(wanted.left), built=wanted.built or wanted.source, versions=versions
        ),
        wanted.pinned,
    )
    if match and known and known["current"] == number and match["deployments"][-1]["result"] == DEPLOYED:
        return found
    if match:
        changed = Version(**match)
        changed["deployments"] = [*match["deployments"], deployment][-KEPT_DEPLOYMENTS:]
        changed["secrets"] = dict(wanted.secrets)
        found["versions"] = [changed if one is match else one for one in versions]
    else:
        new = Version(
            number=number,
            images=dict(wanted.images),
            source=wanted.source,
            settings=dict(wanted.settings),
            secrets=dict(wanted.secrets),
            revision=origin[0],
            message=origin[1],
            deployments=[deployment],
        )
        if wanted.origin:
            new["origin"] = wanted.origin
        found["versions"] = [new, *versions]
    found["versions"] = trimmed(found["versions"], number, keep)
    return found


def ended(known: ServiceVersions, seconds: int) -> ServiceVersions:
    """The versions after the current one's deployment has succeeded on all its hosts."""
    found = ServiceVersions(**known)
    found["versions"] = [
        _ended(one, seconds) if one["number"] == known["current"] else one for one in known["versions"]
    ]
    return found


def _ended(version: Version, seconds: int) -> Version:
    *before, last = version["deployments"]
    if last["result"] == DEPLOYED:
        return version
    done = Version(**version)
    done["deployments"] = [*before, Deployment(**{**last, "result": DEPLOYED, "seconds": seconds})]
    return done


def trimmed(versions: Sequence[Version], current: int, keep: int) -> list[Version]:
    """The last good versions and the last others, the newest first. A failed one never pushes a good one out."""
    newest = sorted(versions, key=lambda one: -one["number"])
    good = [one["number"] for one in newest if is_good(one)][:keep]
    others = [one["number"] for one in newest if not is_good(one)][:keep]
    return [one for one in newest if one["number"] in {*good, *others, current}]
