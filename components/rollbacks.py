"""Which services an update keeps at a version, or takes back to one, and with which settings.

A rollback is an update with an order (`SLIPWAY_ROLLBACK`). It holds: the stack's outputs say which versions it left. An
update whose tree has one of them does not deploy it again, whoever runs it, until its content changes or somebody
orders it (`SLIPWAY_FORWARD`). A promotion deploys a version of another stack (`SLIPWAY_PROMOTE`), and pins its image:
trees that this stack knew before are not built until their content changes, while its settings go on to count. An
update can also be ordered to keep services at what they have (`SLIPWAY_KEEP`): one
that renews certificates, or that restarts a service.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pydantic import ValidationError

from components.engine import DockerEngine
from components.images.image import source_of
from components.promotion import Promotion, promotions
from components.recovered import recovered, with_recovered
from components.versions import NOT_RECORDED, ServiceVersions, Version, find, recorded, settings_of
from configuration.checks import every
from configuration.checks.context import Checks
from configuration.services import BuildSettings, ServiceSettings
from configuration.settings import StackSettings
from configuration.types import STACK_CONTEXT
from well_known import FORWARD_VARIABLE, KEEP_ALL, KEEP_VARIABLE, ROLLBACK_VARIABLE


@dataclass(frozen=True)
class Held:
    """A version at which a service stays in this update, or to which it goes back."""

    version: Version
    left: Sequence[int]
    """The versions that no update deploys by itself."""
    built: str
    """The content tag of the image in the state."""
    builds: bool
    """Whether the resource of the image in the state stays as it is: the tree has it, or the update leaves it out."""
    pinned: Sequence[str] = ()
    """Content tags of the trees that are not built, since a version of another stack was promoted."""
    has_own_settings: bool = True
    """Whether its settings are held as well; else those of the configuration count, and may make another version."""
    is_promoted_now: bool = False
    """Whether this update was ordered to promote it."""

    @property
    def is_known(self) -> bool:
        """Whether it has served here before."""
        deployments = self.version["deployments"]
        return self.has_own_settings or bool(deployments and deployments[-1]["cause"] == "rollback")

    @property
    def images(self) -> Mapping[str, str]:
        """The digests of the version's images, by repository."""
        return self.version["images"]


@dataclass(frozen=True)
class Rollbacks:
    """What is held, and the settings with it."""

    settings: StackSettings
    """The settings, where those of a held service are as they were at its version."""
    held: Mapping[str, Held]
    """By service."""
    known: Mapping[str, ServiceVersions | None]
    """The versions before this update, by service."""
    kept: frozenset[str] = frozenset()
    """The services whose records stay as they are."""

    @property
    def served_before(self) -> frozenset[str]:
        """The held services whose version has served here before."""
        return frozenset(name for name, one in self.held.items() if one.is_known)

    @property
    def returned(self) -> frozenset[str]:
        """The services at a version to which a rollback has taken them, now or before."""
        return frozenset(name for name, one in self.held.items() if one.left and one.is_known)


@dataclass(frozen=True)
class Orders:
    """What the operator has ordered for this update."""

    back: Mapping[str, int]
    """The version to go back to, by service."""
    forward: frozenset[str]
    """The services that get what the tree has, whatever was left."""
    keep: frozenset[str] = frozenset()
    """The services that stay at what they have, whatever the tree has; or `KEEP_ALL` alone."""
    promoted: Mapping[str, Promotion] = field(default_factory=dict)
    """The versions of another stack to deploy, by service."""
    recovered: Mapping[str, Version] = field(default_factory=dict)
    """The versions to which to go back and that the state does not have, by service."""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> "Orders":
        """The orders in the environment: `web=41,api=7`, `web,api`, and `web` or `*`."""
        back = {}
        for word in filter(None, variables.get(ROLLBACK_VARIABLE, "").split(",")):
            service, _, number = word.partition("=")
            if not number.isdecimal():
                raise pulumi.RunError(f"{ROLLBACK_VARIABLE} = {word}: write SERVICE=VERSION, such as web=41")
            back[service.strip()] = int(number)
        forward, keep = (
            frozenset(word.strip() for word in variables.get(name, "").split(",") if word.strip())
            for name in (FORWARD_VARIABLE, KEEP_VARIABLE)
        )
        return cls(back, forward, keep, promotions(variables), recovered(variables))


def make_rollbacks(
    settings: StackSettings, engines: Mapping[str, DockerEngine], previous_outputs: Mapping[str, object]
) -> Rollbacks:
    """Which services stay at a version.

    Raises:
        pulumi.RunError: an order names a service or a version that does not exist, or a version's settings do not fit
            the stack any more.
    """
    orders = Orders.of(os.environ)
    written = previous_outputs.get("versions")
    every_known = written if isinstance(written, Mapping) else {}
    if KEEP_ALL in orders.keep:
        settings = as_deployed(settings, previous_outputs)
    known = {
        name: with_recovered(recorded(every_known.get(name)), orders.recovered.get(name))
        for name in settings.services
    }
    mistakes = [
        f"{name}: the stack has no such service. Services: {', '.join(settings.services) or 'none'}."
        for name in sorted(
            {*orders.back, *orders.forward, *orders.keep, *orders.promoted} - {*settings.services, KEEP_ALL}
        )
    ]
    kept = frozenset(name for name in settings.services if known[name] and orders.keep & {name, KEEP_ALL})
    held: dict[str, Held] = {}
    services: dict[str, ServiceSettings] = dict(settings.services)
    built = settings.built_services
    for name, service in settings.services.items():
        mine = known[name]
        if name not in built:
            if name in {*orders.back, *orders.promoted}:
                mistakes.append(_without_versions(name, service, settings.image_source(name)))
            continue
        promoted = orders.promoted.get(name) if name not in orders.back else None
        if promoted and mine is None:
            mistakes.append(f"{name}: no version of it is recorded yet. `./slip up` records what it deploys.")
            continue
        if mine is None and name not in orders.back:
            continue
        holds = mine and (mine["left"] or mine.get("pinned")) and name not in orders.forward
        if not (name in orders.back or name in kept or promoted or holds):
            continue
        source = _source(settings, engines, name, built[name])
        if promoted and mine:
            # Whichever of these a clone has, its next update does not undo the promotion.
            trees = {source, promoted.source, mine["built"], *(one["source"] for one in mine["versions"])}
            held[name] = Held(
                promoted.version,
                (),
                mine["built"],
                builds=source == mine["built"],
                pinned=sorted(trees - {""}),
                has_own_settings=False,
                is_promoted_now=True,
            )
            continue
        number = orders.back.get(name) or (mine["current"] if mine else 0)
        version = find(mine, number)
        if mine is None or version is None:
            mistakes.append(f"{name} has no version {number}. Versions: {_numbers(mine)}.")
            continue
        if name in orders.back:
            left = left_by(mine, number)
        elif name in kept:
            left = mine["left"]
        elif is_left(mine, source, settings_of(service)):
            left = mine["left"]
            pulumi.warn(_about_hold(name, mine, version, source, settings_of(service)))
        elif source in mine.get("pinned", ()):
            if source != version["source"]:
                pulumi.warn(_about_pin(name, version))
            held[name] = Held(
                version,
                (),
                mine["built"],
                builds=source == mine["built"],
                pinned=mine.get("pinned", ()),
                has_own_settings=False,
            )
            continue
        else:
            continue
        try:
            services[name] = with_version(service, version, pulumi.get_stack())
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()
            )
            mistakes.append(f"version {number} of {name} has settings that are not valid any more: {wrong}")
            continue
        # An update that keeps a service leaves its image's resource out, whatever the tree would make. It has to be
        # registered all the same: else Pulumi writes it into the state behind what depends on it, and refuses that.
        builds = name in kept or source == mine["built"]
        held[name] = Held(version, left, mine["built"], builds=builds, pinned=mine.get("pinned", ()))
    if held and not mistakes:
        settings = settings.model_copy(update={"services": services})
        mistakes += _mistakes(settings, held)
    if mistakes:
        raise pulumi.RunError("nothing was touched:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))
    return Rollbacks(settings, held, known, kept)


def as_deployed(settings: StackSettings, previous_outputs: Mapping[str, object]) -> StackSettings:
    """The settings with the services that run, each on the hosts on which it runs.

    Raises:
        pulumi.RunError: the configuration lacks a service that runs, or its image.
    """
    written, copies = previous_outputs.get("serviceHosts"), previous_outputs.get("mirror")
    places: Mapping[str, Sequence[str]] = written if isinstance(written, Mapping) else {}
    mistakes = [
        f"{name} runs, and this configuration does not have it."
        for name in places
        if name not in settings.services
    ]
    mistakes += [
        f"{name} runs another image than {service.image}."
        for name, service in settings.services.items()
        if name in places
        and service.image
        and isinstance(copies, Mapping)
        and settings.mirrored_as(service.image) not in copies
    ]
    if mistakes:
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        raise pulumi.RunError(
            f"nothing was touched: only an `up` does what this configuration says.\n{lines}"
        )
    services = {
        name: service.model_copy(update={"hosts": tuple(str(host) for host in places[name])})
        for name, service in settings.services.items()
        if name in places
    }
    if new := [name for name in settings.services if name not in places]:
        pulumi.warn(f"only an `up` deploys what does not run yet: {', '.join(new)}")
    return settings.model_copy(update={"services": services})


def _without_versions(name: str, service: ServiceSettings, source: str) -> str:
    if service.image:
        return f"{name} runs an image of others, which has no versions here: set another tag or digest in its `image`."
    return f"{name} runs the image of {source}: roll back {source}."


def _source(
    settings: StackSettings, engines: Mapping[str, DockerEngine], name: str, build: BuildSettings
) -> str:
    if settings.build_host is None:
        return ""
    return source_of(name, build, build.platform or engines[settings.build_host].host.platform)


def is_left(known: ServiceVersions, source: str, settings: Mapping[str, Any]) -> bool:
    """Whether a tree is one of the versions that a rollback left."""
    left = [one for number in known["left"] if (one := find(known, number))]
    return any(one["source"] == source and one["settings"] == settings for one in left)


def left_by(known: ServiceVersions, number: int) -> list[int]:
    """The versions that a rollback leaves: the current one, and all that came after the one it goes to."""
    later = {one["number"] for one in known["versions"] if one["number"] > number}
    return sorted({*known["left"], known["current"], *later} - {number})


def with_version(service: ServiceSettings, version: Version, stack: str) -> ServiceSettings:
    """A service's settings as they were at a version, with what belongs to no version as it is now.

    Raises:
        pydantic.ValidationError: the settings were valid for another version of Slipway.
    """
    now = service.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    kept = {key: now[key] for key in NOT_RECORDED if key in now}
    return ServiceSettings.model_validate({**version["settings"], **kept}, context={STACK_CONTEXT: stack})


def _mistakes(settings: StackSettings, held: Mapping[str, Held]) -> list[str]:
    """What does not fit: another service has the version's name by now, or a secret is gone."""
    checks = Checks(
        settings=settings,
        invalid_locations=(),
        directory=Path.cwd(),
        secret_keys=None,
        stack=pulumi.get_stack(),
    )
    whose = ", ".join(
        f"version {one.version['number']} of {name}" for name, one in held.items() if one.has_own_settings
    )
    if not whose:
        return []
    return [f"with {whose}: {problem}" for problem in every.problems(checks)]


def _numbers(known: ServiceVersions | None) -> str:
    return ", ".join(str(one["number"]) for one in known["versions"]) if known else "none yet"


def _about_hold(
    name: str, known: ServiceVersions, version: Version, source: str, settings: Mapping[str, Any]
) -> str:
    now, then = settings, version["settings"]
    changed = [] if source == version["source"] else ["another image"]
    changed += [key for key in sorted({*now, *then}) if now.get(key) != then.get(key)]
    left = ", ".join(map(str, known["left"]))
    return (
        f"{name} stays at version {version['number']}: a rollback left version {left}, which this tree has "
        f"({', '.join(changed)}). To deploy it: `./slip up --forward {name}`"
    )


def _about_pin(name: str, version: Version) -> str:
    origin = version.get("origin")
    what = f"version {version['number']}"
    if origin:
        what += f", promoted from the stack {origin['stack']}"
    return (
        f"{name} stays at {what}: this tree's code is as it was before the promotion. "
        f"To deploy it: `./slip up --forward {name}`"
    )
