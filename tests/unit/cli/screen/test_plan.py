"""A preview in words."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from batches import Batches
from cli.screen.events import Step
from cli.screen.plan.changes import Notice, Sentence
from cli.screen.plan.sentences import sentences, totals
from cli.stack.config import StackConfig
from tests.unit.cli.screen import recordings
from tests.unit.cli.screen.recordings import step
from tests.unit.cli.screen.test_subjects import PINS, pinned

SERVICE = "slipway:index:Service$"
ENGINE = "slipway:index:DockerEngine$"
CERTIFICATE = "slipway:index:Certificate$tls:index/locallySignedCert:LocallySignedCert::"
AWS = "slipway:hosts:AwsPlatform$slipway:hosts:AwsHost$"


def container(operation: str, host: str, changed: str = "", service: str = "web") -> Step:
    return step(
        operation, f"{SERVICE}docker:index/container:Container::{service}-{host}", service, changed=changed
    )


def switch(operation: str, host: str) -> Step:
    return step(operation, f"{SERVICE}command:remote:Command::web-{host}-switch", "web", changed="create")


def release(operation: str) -> Step:
    return step(operation, f"{SERVICE}command:remote:Command::web-release", "web", changed="create")


def image(operation: str) -> Step:
    return step(
        operation, "slipway:index:AppImage$docker:index/image:Image::web-image", "web", changed="build"
    )


def machine(operation: str, host: str, changed: str = "") -> Step:
    return step(
        operation,
        f"slipway:hosts:LocalPlatform$docker:index/container:Container::{host}",
        "hosts",
        changed=changed,
    )


def instance(operation: str, host: str, changed: str) -> Step:
    return step(operation, f"{AWS}aws:ec2/instance:Instance::{host}", host, changed=changed)


def setup(operation: str, host: str) -> Step:
    return step(operation, f"{ENGINE}command:remote:Command::{host}-setup", host, changed="stdin")


def engine_certificate(operation: str, host: str) -> Step:
    return step(operation, f"{ENGINE}{CERTIFICATE}{host}-engine-certificate", f"{host}-engine")


def registry(operation: str, kind: str, name: str) -> Step:
    return step(operation, f"slipway:index:Registry${kind}::{name}", "registry", changed="x")


def registry_certificate(operation: str) -> Step:
    return step(
        operation, f"slipway:index:Registry${CERTIFICATE}registry-server-certificate", "registry-server"
    )


def proxy(operation: str, host: str) -> Step:
    return step(
        operation,
        f"slipway:index:Proxy$docker:index/container:Container::{host}-proxy-container",
        f"{host}-proxy",
    )


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], []),
        (
            [
                image("update"),
                *(container("create-replacement", host, "image") for host in ("web-1", "web-2")),
            ],
            ["web: new image, rolled over web-1, web-2; nobody notices"],
        ),
        (
            [
                image("update"),
                release("update"),
                container("create-replacement", "web-1", "image"),
            ],
            [
                "web: new image, rolled over web-1; nobody notices",
                "web: its release command runs before; the old version serves meanwhile, and stays if it fails",
            ],
        ),
        (
            [container("replace", "web-1", "memory"), release("update")],
            [
                "web: new settings (memory), rolled over web-1; nobody notices",
                "web: its release command runs before, unless it has run for this version",
            ],
        ),
        (
            [container("replace", "web-1", "envs memory"), container("delete-replaced", "web-1")],
            ["web: new settings (environment, memory), rolled over web-1; nobody notices"],
        ),
        (
            [image("update"), container("replace", "web-1", "image envs")],
            ["web: new image and settings (environment), rolled over web-1; nobody notices"],
        ),
        (
            [container("update", "web-1", "memory")],
            ["web: changed in place on web-1 (memory); nobody notices"],
        ),
        (
            [switch("update", "web-1"), switch("update", "web-2")],
            ["web: checked and routed again on web-1, web-2, for changed settings; nobody notices"],
        ),
        ([image("update")], ["web: image web: built and pushed; nobody notices"]),
        (
            [image("create"), container("create", "web-1"), switch("create", "web-1")],
            ["web: image built and pushed, started on web-1"],
        ),
        (
            [container("same", "web-1"), container("create", "web-2")],
            ["web: started on web-2"],
        ),
        (
            [container("same", "web-1"), container("delete", "web-2"), switch("delete", "web-2")],
            ["web: removed from web-2"],
        ),
        (
            [container("delete", "web-1"), container("delete", "web-2"), image("delete")],
            ["web: removed from web-1, web-2; its URLs no longer answer"],
        ),
        # A host and what is on it.
        (
            [
                machine("delete", "web-2"),
                container("same", "web-1"),
                container("delete", "web-2"),
                setup("delete", "web-2"),
            ],
            [
                "host web-2: removed, with its containers; web no longer answers there",
                "web: removed from web-2",
            ],
        ),
        (
            [
                machine("delete-replaced", "web-2"),
                machine("replace", "web-2"),
                machine("create-replacement", "web-2"),
                container("delete-replaced", "web-2"),
                container("create-replacement", "web-2"),
                container("same", "web-1"),
                proxy("create-replacement", "web-2"),
            ],
            [
                "host web-2: made anew; web on it starts anew; its URL there does not answer until then",
                "web: started on web-2",
            ],
        ),
        (
            [
                machine("replace", "yard"),
                registry("replace", "docker:index/container:Container", "registry-container"),
            ],
            [
                "host yard: made anew; pushes and pulls wait until it is back; the images stay",
                "registry: restarted; pushes and pulls wait about a second",
            ],
        ),
        ([machine("create", "web-3"), machine("create", "web-4")], ["hosts web-3, web-4: made"]),
        (
            [instance("update", "web-1", "instanceType")],
            [
                (
                    "host web-1: stopped and started again (for: instanceType); what is on it does not answer for "
                    "about a minute"
                )
            ],
        ),
        ([instance("update", "web-1", "tags")], ["host web-1: changed in place (tags); nobody notices"]),
        (
            [setup("update", "web-1"), setup("update", "web-2")],
            ["hosts web-1, web-2: set up again; containers run on, and nobody notices"],
        ),
        (
            [engine_certificate("replace", "web-1"), setup("update", "web-1")],
            [
                (
                    "host web-1: set up again, and its engine restarts; containers run on, and DNS look-ups inside "
                    "them fail for about a second"
                ),
                "certificate of web-1's engine: renewed",
            ],
        ),
        # The registry.
        (
            [
                registry_certificate("create-replacement"),
                registry("update", "command:remote:Command", "registry-settings"),
            ],
            [
                "registry: takes its new certificate; nobody notices",
                "certificate of the registry: renewed",
            ],
        ),
        (
            [registry("update", "command:remote:Command", "registry-settings")],
            [
                (
                    "registry: settings put in place; nobody notices new accounts and rights, and for other "
                    "settings it restarts: pushes and pulls wait about a second"
                )
            ],
        ),
        # A stack of an older version gets a proxy before its registry.
        (
            [
                registry("create-replacement", "docker:index/container:Container", "registry-container"),
                registry("create", "docker:index/container:Container", "registry-front-container"),
                registry("update", "command:remote:Command", "registry-settings"),
            ],
            ["registry: restarted; pushes and pulls wait about a second"],
        ),
        (
            [registry("delete", "docker:index/container:Container", "registry-container")],
            ["registry: removed; pushes and pulls fail, containers run on"],
        ),
        (
            [
                step(
                    "delete",
                    "slipway:hosts:LocalPlatform$docker:index/volume:Volume::slipway-local-registry",
                    retained=True,
                )
            ],
            ["registry's data (slipway-local-registry): kept"],
        ),
        (
            [
                step(
                    "delete",
                    "slipway:hosts:AwsPlatform$slipway:hosts:RegistryVolume$aws:ebs/volume:Volume::registry-data",
                )
            ],
            ["registry's data (registry-data): deleted, with every image in the registry"],
        ),
        (
            [proxy("create-replacement", "web-1")],
            ["proxy on web-1: restarted; services on that host do not answer for about two seconds"],
        ),
        # What has no sentence of its own is told by name all the same.
        (
            [
                step(
                    "create",
                    "slipway:hosts:AwsPlatform$slipway:hosts:SecurityGroups$aws:vpc/securityGroupIngressRule"
                    ":SecurityGroupIngressRule::http-from-203.0.113.7",
                )
            ],
            ["firewall: made: http-from-203.0.113.7"],
        ),
        (
            [
                step("update", "aws:s3/bucket:Bucket::mine", changed="acl"),
                step("delete", "custom:index:Thing::other"),
            ],
            ["aws:s3/bucket:Bucket mine: changed (acl)", "custom:index:Thing other: removed"],
        ),
    ],
)
def test_what_happens_to_whom(steps: list[Step], expected: list[str]) -> None:
    assert [f"{one.about}: {one.text}" for one in sentences(steps)] == expected


@pytest.mark.parametrize(
    ("batches", "changing", "expected"),
    [
        (
            [["1"], ["2", "3"], ["4"]],
            "1234",
            "3 batches (1; then 2, 3; then 4) with 10 s and a health check between",
        ),
        # Some hosts have it already.
        ([["1"], ["2", "3"], ["4"]], "34", "2 batches (3; then 4) with 10 s and a health check between them"),
        ([["1", "2"]], "12", "1, 2 at the same time; nobody notices"),
        ([["1"], ["2", "3"]], "2", "rolled over 2; nobody notices"),
    ],
)
def test_batches_are_told(batches: list[list[str]], changing: str, expected: str) -> None:
    steps = [container("create-replacement", host, "image") for host in changing]
    (told,) = sentences(steps, {"web": Batches(batches, 10)})
    assert expected in told.text


def test_the_configuration_says_in_which_batches() -> None:
    text = """\
config:
  slipway:hosts: {yard: {roles: [build]}, web-2: {roles: [app]}, web-1: {roles: [app]}, web-3: {roles: [app]}}
  slipway:services:
    web: {build: {context: app}, rollout: {parallel: 50%, pause: 10, canary: 1}}
    api: {from: web, hosts: [web-3, web-1], rollout: {parallel: 2}}
    old: {from: web}
"""
    assert StackConfig.read_text(text, "slipway").batches == {
        "web": Batches([["web-1"], ["web-2"], ["web-3"]], 10),
        "api": Batches([["web-3", "web-1"]], 0),
    }


def test_a_first_preview_tells_every_part() -> None:
    told = {one.about: one.text for one in sentences(recordings.record("first-preview").steps)}
    assert told["hosts web-1, web-2, yard"] == "made"
    assert told["web"] == "image built and pushed, started on web-1, web-2"
    assert "16 keys" in told["also made"]


def test_a_host_that_goes_is_told_with_what_goes_with_it() -> None:
    told = [f"{one.about}: {one.text}" for one in sentences(recordings.record("without-a-host").steps)]
    assert told == [
        "host web-2: removed, with its containers; web no longer answers there",
        "certificate of web-2's engine: removed",
        "web: new image, rolled over web-1; nobody notices",
        "web: removed from web-2",
        "also removed: 3 keys, volume slipway-local-web-2-docker",
    ]


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.stem)
@pytest.mark.parametrize("operation", ["create", "update", "replace", "delete"])
def test_no_change_of_any_resource_is_hidden(file: Path, operation: str) -> None:
    """Each resource of the program alone has a sentence, which names it or what it is part of."""
    for one in pinned(file):
        if not one.is_component:
            alone = Step(operation, one.urn, one.parent, frozenset({"x"}))
            # A set-up command or an answer that goes, goes with its host or its registry.
            told = sentences([alone])
            assert told or "Command" in one.type, one.urn
            assert [sentence for sentence in told if one.type in str(sentence)] == [], (
                "a type says nothing to people"
            )


def test_a_real_code_change_is_one_sentence() -> None:
    found = recordings.record("change-preview")
    assert [f"{one.about}: {one.text}" for one in sentences(found.steps)] == [
        "web: new image, rolled over web-1, web-2; nobody notices"
    ]
    assert totals(found.counts) == "3 to change, 4 to replace; 72 stay as they are."


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"same": 79}, "Nothing would change: 79 resources are as configured."),
        ({"create": 79}, "79 to make."),
        (
            {"create": 1, "update": 2, "replace": 3, "delete": 4, "same": 5},
            "1 to make, 2 to change, 3 to replace, 4 to remove; 5 stay as they are.",
        ),
    ],
)
def test_the_totals(counts: dict[str, int], expected: str) -> None:
    assert totals(counts) == expected


@pytest.mark.parametrize(
    ("after", "is_away"),
    [
        ({"volumes": [{"volumeName": "web.data", "containerPath": "/data"}]}, True),
        ({"volumes": [{"hostPath": "/srv", "containerPath": "/srv", "readOnly": True}]}, False),
        ({"ports": [{"internal": 5432, "external": 5432}]}, True),
        ({}, False),
    ],
)
def test_a_service_that_is_stopped_first_is_told(after: dict[str, Any], is_away: bool) -> None:
    replaced = dataclasses.replace(container("replace", "web-1", "image"), after=after)
    (told,) = sentences([replaced])
    assert ("stopped first on web-1" in told.text) == is_away
    assert (told.notice is Notice.RESTART) == is_away


DATA = {"volumeName": "web.data", "containerPath": "/data"}


def secrets_volume(version: str) -> dict[str, Any]:
    return {
        "hostPath": f"/run/slipway/secrets/web/{version}",
        "containerPath": "/run/secrets",
        "readOnly": True,
    }


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ([secrets_volume("v1")], [secrets_volume("v2")], "secrets"),
        ([], [secrets_volume("v1")], "secrets"),
        ([{**DATA, "readOnly": True}], [secrets_volume("v1")], "secrets, volumes or files"),
        ([secrets_volume("v1")], [secrets_volume("v1"), {**DATA, "readOnly": True}], "volumes or files"),
    ],
)
def test_another_secret_is_told_as_one(
    before: list[dict[str, Any]], after: list[dict[str, Any]], what: str
) -> None:
    """Not as a volume, and not once more for the command that brings it to the host."""
    made_anew = dataclasses.replace(
        container("replace", "web-1", changed="volumes"), before={"volumes": before}, after={"volumes": after}
    )
    brought = step("update", f"{SERVICE}command:remote:Command::web-web-1-secrets", "web", changed="stdin")
    assert [f"{one.about}: {one.text}" for one in sentences([brought, made_anew])] == [
        f"web: new settings ({what}), rolled over web-1; nobody notices"
    ]


def test_another_file_is_told_with_its_service() -> None:
    """Not as an unknown resource, of which nobody knows who would notice."""
    brought = step("update", f"{SERVICE}command:remote:Command::web-web-1-files", "web", changed="stdin")
    made_anew = container("replace", "web-1", changed="volumes")
    assert [f"{one.about}: {one.text}" for one in sentences([brought, made_anew])] == [
        "web: new settings (volumes or files), rolled over web-1; nobody notices"
    ]


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.stem)
def test_no_resource_of_the_program_is_told_by_its_type(file: Path) -> None:
    assert [one.about for one in sentences(pinned(file)) if ":" in one.about] == []


def test_a_port_that_goes_is_missed() -> None:
    path = "slipway:index:LocalPlatform$docker:index/container:Container::web-2.8443-tcp"
    assert sentences([step("delete", path, "hosts")]) == [
        Sentence("public port of web-2", "closed", Notice.FAILURES)
    ]
