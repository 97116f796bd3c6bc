"""A stack that an older version of Slipway made stays as it is with this version, and no request is lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.support import settings
from tests.support.clone import REPOSITORY, Clone
from tests.support.command import Result
from tests.support.docker_command import docker
from tests.support.http_load import Load, greeting
from tests.support.registry import Registry
from tests.support.stack import Stack
from tests.support.traffic import Person
from tests.support.waiting import TOOLS_LIMIT
from well_known import REGISTRY_DATA_PATH, REGISTRY_USER

OLD_COMMIT = "7471139ba2dd995ee10d75761f1b548c2928d909"
"""The commit whose tree makes the stack. Each release moves it to the release before."""
ALLOWED_CREATES: tuple[str, ...] = ()
"""Patterns of the names of resources that the first `up` of this version creates."""
ALLOWED_UPDATES: tuple[str, ...] = ("box-setup", "registry-settings")
"""Patterns of the names of resources that the first `up` of this version updates in place."""
ALLOWED_REPLACEMENTS: tuple[str, ...] = ()
"""Patterns of the names of resources that the first `up` of this version replaces.

Every other change is a failure. So is a pattern of any list that matches no such change: take it out once
`OLD_COMMIT` has moved past the change.
"""
ALLOWED_DELETES: tuple[str, ...] = ()
"""Patterns of the names of resources that the first `up` of this version removes."""
REPLACED_CONTAINERS: tuple[str, ...] = ()
"""Patterns of the names of the containers that these replacements concern."""
NEW_CONTAINERS: tuple[str, ...] = ()
"""The names of the containers that this version adds."""
NO_CHANGES = (
    ()
    if ALLOWED_CREATES or ALLOWED_UPDATES or ALLOWED_REPLACEMENTS or ALLOWED_DELETES
    else ("--expect-no-changes",)
)
"""Options for Pulumi to fail at any change by itself, as long as none is allowed."""
ALLOWED = (
    ({"create"}, ALLOWED_CREATES),
    ({"update"}, ALLOWED_UPDATES),
    ({"replace", "create-replacement", "delete-replaced"}, ALLOWED_REPLACEMENTS),
    ({"delete"}, ALLOWED_DELETES),
)
"""The operations of the engine, each with the patterns."""
UNKNOWN_IN_A_PREVIEW = ("web-box-image", "web-deployed", "mirror-deployed")
"""Names of resources that a preview may show as replaced and an `up` must not: the digest of an image that has to be
built again is unknown until then."""
HOST = "box"
OFFSET, METRICS = 700, 5799
APP = "own-app"
"""The folder of the user's app: a part of the clone, and of no version of Slipway."""


@pytest.fixture(scope="session")
def old_commit() -> str:
    """The older commit, if the history has it."""
    found = subprocess.run(
        ["git", "cat-file", "-e", f"{OLD_COMMIT}^{{commit}}"], cwd=REPOSITORY, capture_output=True
    )
    if found.returncode:
        missing = (
            f"this clone has no commit {OLD_COMMIT[:7]}, whose stack is upgraded here: clone the full history "
            "(`git fetch --unshallow`; `fetch-depth: 0` in GitHub Actions)"
        )
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return OLD_COMMIT


@dataclass(frozen=True)
class Upgrade:
    """A stack that the older version brought up, in a clone that has been upgraded to this version."""

    stack: Stack
    outputs: dict[str, Any] = field(repr=False)
    """What the older version exported, secrets in clear text."""


@pytest.fixture(scope="module")
def upgrade(old_commit: str, machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    clone = Clone.make(tmp_path_factory.mktemp("upgrade"), old_commit)
    _write_app(clone.root / APP)
    clone.commit("The user's own app")
    stack = Stack(clone, "e2e-upgrade")
    stack.remove_traces()
    stack.write_config(_settings())
    secret = "printf a-token-of-the-service | pulumi config set --secret --path slipway:secrets.TOKEN"
    try:
        made = clone.start(*stack.in_prepared_shell(f"{secret} --stack {stack.name}")).wait(TOOLS_LIMIT)
        assert made.status == 0, str(made)
        stack.up(seconds=TOOLS_LIMIT)
        # A change that the older version has left undone would look like a change of the new version.
        settled = stack.slip("preview", "--refresh", "--expect-no-changes")
        assert settled.status == 0, str(settled)
        outputs = stack.outputs()
        clone.upgrade()
        yield Upgrade(stack, outputs)
    finally:
        stack.take_down()


def _settings() -> dict[str, Any]:
    """One host with every kind of resource that a local stack can have."""
    configuration = settings.one_host()
    configuration["platform"]["portOffset"] = OFFSET
    configuration["hosts"] = {HOST: {"roles": ["registry", "build", "app"], "memory": 2048}}
    configuration["registry"] = {
        "users": ["deploy"],
        "metricsPort": METRICS,
        "mirror": ["debian:12"],
        "retention": {"keep": 3},
        "clientCertificates": True,
    }
    configuration["services"]["web"] |= {
        "build": {"context": APP, "base": {"context": f"{APP}/base"}},
        "memory": 128,
        "env": {"LEVEL": "info"},
        "secrets": ["TOKEN"],
    }
    return configuration


def _write_app(folder: Path) -> None:
    """An app on a base image of its own, which no upgrade of Slipway changes."""
    (folder / "base").mkdir(parents=True)
    shutil.copy(REPOSITORY / "tests/e2e/fixtures/tiny/server.pl", folder)
    (folder / "base/Dockerfile").write_text("FROM debian:12\nRUN mkdir /own-app\n")
    (folder / "Dockerfile").write_text(
        'ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY server.pl /own-app/\nCMD ["perl", "/own-app/server.pl"]\n'
    )


def _is_allowed(name: str, operations: set[str]) -> bool:
    return any(
        operations and operations <= kind and any(fnmatch(name, pattern) for pattern in patterns)
        for kind, patterns in ALLOWED
    )


def _check_changes(result: Result, *more: str) -> None:
    """Fail at any change that is not allowed, and at an allowed one that is missing. `more` may be replaced as well."""
    assert result.status == 0, str(result)
    assert len(result.steps) > 40, f"the engine looked at hardly any resource: {result}"
    others = {
        name: done
        for name, done in result.changes.items()
        if name not in more and not _is_allowed(name, done)
    }
    assert not others, f"the new version changes {others}: {result}"
    for kind, patterns in ALLOWED:
        names = [name for name, done in result.changes.items() if done <= kind]
        unused = [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in names)]
        assert not unused, f"the new version is allowed to {kind} {unused}, and does not: {result}"


def _containers(stack: Stack) -> dict[str, str]:
    """The id and the start of the host, and of each container on it that no roll-out replaces, by name."""
    seen = "{{.Name}} {{.Id}} {{.State.StartedAt}}"
    host = docker("inspect", "--format", seen, stack.container(HOST))
    names = stack.on_host(HOST, "docker", "ps", "--format", "{{.Names}}").split()
    names = [
        name
        for name in names
        if not any(fnmatch(name, one) for one in (*REPLACED_CONTAINERS, *NEW_CONTAINERS))
    ]
    inside = stack.on_host(HOST, "docker", "inspect", "--format", seen, *names) if names else ""
    return {line.partition(" ")[0]: line for line in [host, *inside.splitlines()]}


def test_a_preview_of_the_new_version_shows_no_change(upgrade: Upgrade) -> None:
    _check_changes(upgrade.stack.slip("preview", *NO_CHANGES), *UNKNOWN_IN_A_PREVIEW)


def test_a_preview_that_looks_at_what_is_there_shows_no_change(upgrade: Upgrade) -> None:
    _check_changes(upgrade.stack.slip("preview", "--refresh", *NO_CHANGES), *UNKNOWN_IN_A_PREVIEW)


def test_an_up_changes_what_it_may_and_answers_nothing_wrong(upgrade: Upgrade) -> None:
    stack, registry = upgrade.stack, Registry.of(upgrade.outputs)
    images, containers, urls = registry.images(), _containers(stack), upgrade.outputs["serviceUrls"]["web"]
    assert images
    # The host; on it the registry, its proxy, the services' proxy and the app, unless the upgrade replaces them.
    assert len(containers) == 5 - len(REPLACED_CONTAINERS), containers
    person, load = Person(registry=registry), Load(*urls)
    with load, person:
        person.go_on("a push", 1)
        result = stack.up(*NO_CHANGES)
        assert {greeting(url) for url in urls} == {"tiny version 1"}
    assert load.failures == []
    assert all(load.greetings.values())
    assert person.failures == []
    _check_changes(result)
    assert _containers(stack) == containers, "a container was replaced or restarted"
    assert registry.lacks(images) == set()
    foreign = stack.on_host(HOST, "find", REGISTRY_DATA_PATH, "!", "-uid", str(REGISTRY_USER))
    assert foreign == "", "the registry may not write to all of its folder"


def test_outputs_stay_as_they_are(upgrade: Upgrade) -> None:
    outputs = upgrade.stack.outputs()
    # Names only: some of the values are secrets.
    assert [key for key, value in upgrade.outputs.items() if not _is_kept(value, outputs.get(key))] == []


def _is_kept(old: object, new: object) -> bool:
    """Whether a value is as it was. Maps may have got more keys."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(_is_kept(value, new.get(key)) for key, value in old.items())
    return old == new


def test_nothing_is_left_to_do_afterwards(upgrade: Upgrade) -> None:
    result = upgrade.stack.slip("preview", "--refresh", "--expect-no-changes")
    assert result.status == 0, str(result)
