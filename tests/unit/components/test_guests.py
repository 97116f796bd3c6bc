"""A review environment on the hosts of another stack: what it makes there, and what it leaves to that stack."""

from typing import Any

import pulumi
import pytest

from components.host import DIAL_RETRIES
from components.registry.rights import maps, rights_of
from configuration.load import validate
from tests.unit.program import CONFIGURATION, PASSWORDS, ROOT, Program, Secret, run, run_stack

OTHERS: dict[str, Any] = {
    "hosts": {
        host: {
            "address": "192.0.2.7",
            "privateAddress": host,
            "roles": roles,
            "sshPort": 2200,
            "sshUser": "admin",
            "sshHostKey": "ssh-ed25519 HOST",
            "enginePort": 2376,
            "enginePlatform": "linux/arm64",
            "httpPort": 8081,
            "httpsPort": 8443,
        }
        for host, roles in {"yard": ["registry", "build"], "web-1": ["app"]}.items()
    },
    "engineCaCertificate": "the engine CA of staging",
    "engineClientCertificate": "the certificate of staging",
    "engineClientKey": "the engine key of staging",
    "sshPrivateKey": "the SSH key of staging",
    "registryAddress": "yard:5000",
    "registryPublicAddress": "192.0.2.7:5000",
    "registryMode": "own",
    "registryCaCertificate": "the registry CA of staging",
    "registryPasswords": {"review-1": "the password of review-1", "hosts": "the password of hosts"},
}
GUEST: dict[str, Any] = {
    "platform": {"kind": "local"},
    "hosts": {"yard": {"roles": ["build"]}, "web-1": {"roles": ["app"]}},
    "registry": {"external": {"server": "yard:5000", "namespace": "review-1/pr-582", "username": "review-1"}},
    "review": {"hostsOf": "staging", "slot": 1, "pullRequest": 582, "until": "2026-01-31T12:00:00Z"},
    "services": {
        "pr-582-web": {
            "build": {"context": "app", "base": {"context": "app/base"}},
            "domain": "pr-582.app.example.com",
            "networks": ["back"],
        }
    },
}


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


@pytest.fixture(scope="module")
def guest() -> Program:
    return run_stack("pr-582", GUEST, {}, {"staging": OTHERS})


def test_it_makes_no_host_and_sets_none_up(guest: Program) -> None:
    assert [one.request.name for one in guest.of_type("container:Container")] == ["pr-582-web-web-1"]
    assert [one.request.name for one in guest.of_type("remote:Command")] == [
        "pr-582-web-web-1-switch",
        "web-1-certificates",
        "web-1-proxy-network",
        "web-1-routes",
    ]
    assert not guest.of_type("local:Command")
    keys = {one.request.name for one in guest.of_type("privateKey:PrivateKey")}
    assert keys == {"services-ca-key", "pr-582-web-https-key"}


def test_it_reaches_engines_and_hosts_with_the_other_stacks_keys(guest: Program) -> None:
    provider = guest.named("web-1-docker", "providers:docker").inputs
    assert provider["host"] == "tcp://192.0.2.7:2376"
    assert provider["caMaterial"] == "the engine CA of staging"
    assert provider["keyMaterial"] == Secret("the engine key of staging")
    connection = guest.named("web-1-routes").inputs["connection"]
    assert isinstance(connection, Secret)
    assert connection.value["privateKey"] == "the SSH key of staging"
    # Not for as long as a new machine takes: the host has booted.
    assert connection.value["dialErrorLimit"] == DIAL_RETRIES


def test_images_go_below_its_own_part_of_the_registry_with_its_own_account(guest: Program) -> None:
    image = guest.named("pr-582-web-image", "Image").inputs
    assert str(image["imageName"]).startswith("yard:5000/review-1/pr-582/pr-582-web:")
    assert image["build"]["platform"] == "linux/arm64"
    assert image["registry"]["username"] == "review-1"
    assert image["registry"]["password"] == Secret("the password of review-1")


def test_what_it_makes_tells_whose_it_is(guest: Program) -> None:
    label = {"label": "slipway.stack", "value": "pr-582"}
    for one in (guest.named("pr-582-web-web-1"), guest.named("web-1-shared-back")):
        assert label in one.inputs["labels"]
    # Its own services call each other by the names of the template.
    networks = guest.named("pr-582-web-web-1").inputs["networksAdvanced"]
    assert [network.get("aliases") for network in networks] == [None, ["web"]]


def test_it_speaks_for_its_own_routes_and_certificates_only(guest: Program) -> None:
    assert "of=pr-582-" in guest.named("web-1-routes").inputs["create"].split()
    assert "GUEST=yes" in str(guest.named("web-1-certificates").inputs["stdin"])
    assert "of=" not in str(run().named("web-1-routes").inputs["create"])
    assert "GUEST" not in str(run('{"review": {"guests": 0}}').resources)


def test_nothing_on_the_hosts_is_deleted_with_a_host_that_it_does_not_have(guest: Program) -> None:
    assert {one.request.deletedWith for one in guest.resources.values()} == {""}


def test_its_outputs_have_the_other_stacks_secrets_as_secrets(guest: Program) -> None:
    assert guest.outputs["sshPrivateKey"] == Secret("the SSH key of staging")
    assert guest.outputs["engineClientKey"] == Secret("the engine key of staging")
    assert guest.outputs["registryPasswords"] == Secret({"review-1": "the password of review-1"})
    assert "the password of hosts" not in str(guest.outputs)
    assert guest.outputs["registryPublicAddress"] == "192.0.2.7:5000"


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({}, "slipway:review.hostsOf = staging: that stack has no output hosts, "),
        (OTHERS | {"registryPasswords": {}}, "has no account review-1. Set slipway:review.guests there"),
        (
            OTHERS | {"hosts": {"yard": OTHERS["hosts"]["yard"]}},
            "the stack staging has no host web-1 any more",
        ),
    ],
)
def test_a_stack_without_what_a_guest_needs_is_refused(others: dict[str, Any], message: str) -> None:
    with pytest.raises(pulumi.RunError, match=message):
        run_stack("pr-582", GUEST, {}, {"staging": others})


def test_each_guest_may_use_its_own_part_of_the_registry() -> None:
    settings = validate(
        CONFIGURATION
        | {
            "registry": {"retention": {}},
            "review": {"guests": 2},
            "passwords": {"hosts": PASSWORDS["hosts"]},
        },
        ROOT,
    )
    found = maps(rights_of(settings))
    for kind in ("push", "pull"):
        lines = [line for line in found[kind].splitlines() if line.startswith("review-")]
        assert lines == ["review-1:review-1/ yes", "review-2:review-2/ yes"]


def test_a_stack_with_guests_gives_each_account_a_password_of_its_own() -> None:
    program = run('{"registry": {"users": ["alice"], "retention": {}}, "review": {"guests": 2}}')
    passwords = program.outputs["registryPasswords"].value
    assert len({passwords[name] for name in ("hosts", "review-1", "review-2")}) == 3
    assert program.outputs["reviewGuests"] == 2
