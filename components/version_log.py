"""Writes the versions of the services into the stack's outputs: as a roll-out begins, and as it has succeeded.

An update that fails or is killed in between leaves the version there, as one that did not become what serves.
"""

import os
import pwd
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import is_dry_run

from components import service_files, versions
from components.git import Repository
from components.images.image import AppImage, RunImage
from components.rollbacks import Rollbacks
from components.versions import Candidate, Deployment, ServiceVersions, secret_hashes, settings_of
from configuration.resource_names import base_image
from configuration.settings import StackSettings

STARTED = time.time()
"""When this update began."""

Written = pulumi.Output[dict[str, ServiceVersions]]


class VersionLog:
    """The versions of all services in this update."""

    begun: Written
    """As the update begins."""

    def __init__(
        self,
        settings: StackSettings,
        rollbacks: Rollbacks,
        images: Mapping[str, RunImage],
        revisions: Mapping[str, pulumi.Input[object]],
        key: pulumi.Input[str],
        previous: object,
    ) -> None:
        """Take what the services are to run.

        Args:
            settings: the stack's, with those of held services as they were.
            rollbacks: what is held, and the versions before.
            images: the services' images. Those of others have no versions: their tags are updated by a command.
            revisions: the commits of each image's last tags, the newest first.
            key: a secret of the stack's state, for the hashes of secrets.
            previous: the stack's output before.
        """
        self._settings, self._rollbacks = settings, rollbacks
        self._done: set[str] = set()
        self._previous = previous if isinstance(previous, Mapping) else {}
        built = {name: image for name, image in images.items() if isinstance(image, AppImage)}
        self._sources = {name: image.source for name, image in built.items()}
        if is_dry_run():
            # What is not built yet has no digest.
            self.begun = pulumi.Output.from_input(dict(self._previous))
            return
        known = pulumi.Output.from_input(
            {
                name: {"references": list(image.references), "revisions": revisions.get(name)}
                for name, image in built.items()
            }
        )
        self.begun = pulumi.Output.unsecret(
            pulumi.Output.all(known, key).apply(lambda both: self._begin(both[0], both[1]))
        )

    def ended(self, after: pulumi.Output[dict[str, str]]) -> Written:
        """The versions once all services have been rolled out.

        Args:
            after: what each service serves, by digest, once all are rolled out; empty for one that a targeted update
                left out on a host.
        """
        if is_dry_run():
            return self.begun
        return pulumi.Output.all(self.begun, after).apply(
            lambda both: self._end(both[0], {name for name, image in both[1].items() if image})
        )

    def stored_early(
        self,
        served: Mapping[str, pulumi.Output[str]],
        stored: pulumi.Output[None],
        store: Callable[[Written], pulumi.Output[None]],
    ) -> pulumi.Output[bool]:
        """Store that a service is rolled out while others are not: one of them may fail. Known once that is stored.

        Args:
            served: what each service serves, by digest, once it is rolled out.
            stored: known once the versions are stored as they begin.
            store: stores the versions in the state.
        """
        if is_dry_run() or len(served) < 2:
            return pulumi.Output.from_input(True)

        def store_one(name: str, begun: Mapping[str, ServiceVersions], image: str) -> pulumi.Output[bool]:
            if not image or begun[name] == self._previous.get(name):
                return pulumi.Output.from_input(False)
            self._done.add(name)
            written = store(pulumi.Output.from_input(self._end(begun, self._done)))
            return written.apply(lambda _: True)

        def early(name: str, image: pulumi.Output[str]) -> pulumi.Output[bool]:
            known: pulumi.Output[list[Any]] = pulumi.Output.all(self.begun, image, stored)
            return known.apply(lambda all_: store_one(name, all_[0], all_[1]))

        every: pulumi.Output[list[Any]] = pulumi.Output.all(
            *(early(name, served[name]) for name in self._sources)
        )
        return every.apply(lambda _: True)

    def _begin(self, known: Mapping[str, Mapping[str, object]], key: str) -> dict[str, ServiceVersions]:
        kept = {
            name: one
            for name in known
            if name in self._rollbacks.kept and (one := self._rollbacks.known[name])
        }
        return kept | {
            name: versions.begun(
                self._rollbacks.known[name],
                candidate := self._candidate(name, known[name]["references"], key),
                self._deployment(name),
                self._commit(candidate, name, known[name]["revisions"]),
                self._keep,
            )
            for name in known
            if name not in kept
        }

    def _commit(self, candidate: Candidate, name: str, revisions: object) -> tuple[str, str]:
        held = self._rollbacks.held.get(name)
        if held and not held.has_own_settings:
            return held.version["revision"], held.version["message"]
        return _origin(candidate, revisions, self._rollbacks.known[name])

    def _end(self, begun: Mapping[str, ServiceVersions], done: set[str]) -> dict[str, ServiceVersions]:
        seconds = max(1, round(time.time() - STARTED))
        return {name: versions.ended(one, seconds) if name in done else one for name, one in begun.items()}

    @property
    def _keep(self) -> int:
        rule = self._settings.registry.retention
        return rule.keep if rule else versions.KEPT

    def _candidate(self, name: str, references: object, key: str) -> Candidate:
        service, held = self._settings.services[name], self._rollbacks.held.get(name)
        names = {*service.secrets, *service.secret_env.values()}
        secrets = {secret: self._settings.secrets[secret].get_secret_value() for secret in names}
        return Candidate(
            number=held.version["number"] if held and held.has_own_settings else None,
            images=digests(name, references),
            source=held.version["source"] if held else self._sources[name],
            settings=settings_of(service),
            secrets={**secret_hashes(name, secrets, key), **service_files.hashes(self._settings, name, key)},
            left=held.left if held else (),
            built=held.built if held else self._sources[name],
            origin=held.version.get("origin") if held else None,
            pinned=held.pinned if held else (),
        )

    def _cause(self, name: str) -> str:
        held = self._rollbacks.held.get(name)
        if held is None or not (held.has_own_settings or held.is_promoted_now):
            return "up"
        return "promotion" if held.is_promoted_now else "rollback"

    def _deployment(self, name: str) -> Deployment:
        return Deployment(
            started=datetime.fromtimestamp(STARTED, UTC).isoformat(timespec="seconds"),
            seconds=0,
            result=versions.BEGUN,
            author=f"{_user()}@{socket.gethostname()}",
            hosts=list(self._settings.service_hosts(name)),
            cause=self._cause(name),
        )


def digests(service: str, references: object) -> dict[str, str]:
    """The digest of a service's image and of its own base image, by the name of their repository.

    Args:
        service: the service's name.
        references: `host:port/repository@digest`, of the image and then of its own base image.
    """
    known = [str(one) for one in references] if isinstance(references, (list, tuple)) else []
    names = (service, base_image(service))
    return {name: one.partition("@")[2] for name, one in zip(names, known, strict=False)}


def _origin(candidate: Candidate, revisions: object, known: ServiceVersions | None) -> tuple[str, str]:
    """The commit of a version's code and the first line of its message; empty without one."""
    recorded = revisions if isinstance(revisions, (list, tuple)) else ()
    # A tag on a copy of a base image has that copy's digest behind it.
    revision = next(
        (str(one["revision"]) for one in recorded if str(one["tag"]).startswith(candidate.source)), ""
    )
    if not revision or candidate.number is not None:
        return "", ""
    if known and (one := next((v for v in known["versions"] if v["revision"] == revision), None)):
        return revision, one["message"]
    repository = Repository.of(Path.cwd())
    commit = revision.removesuffix("-dirty")
    said = repository.ask("log", "-1", "--format=%s", commit, "--").answer() if repository else ""
    return revision, "".join(letter for letter in said or "" if letter.isprintable())[:200]


def _user() -> str:
    """The user as the operating system says, not the environment."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container without an entry for its user
        return str(os.getuid())
