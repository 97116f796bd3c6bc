"""The resources that the program registers: their parents, their secrets, what is retained."""

import base64
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from components import secret_files
from components.host import DIAL_RETRIES
from components.registry_access import _mistake
from configuration.services import CAPABILITIES
from tests.unit.program import OPERATORS_KEY, PASSWORDS, ROOT, Program, Secret, run
from well_known import PROXY_CONTAINER, state_id

HOSTS = ("web-1", "web-2", "yard")
SECRETS = [*PASSWORDS.values(), "private key of", "openssh key of"]


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


@pytest.fixture
def program() -> Program:
    return run()


def text_outside_secrets(value: object) -> str:
    if isinstance(value, Secret):
        return ""
    if isinstance(value, dict):
        return "\n".join(text_outside_secrets(item) for item in value.values())
    if isinstance(value, list):
        return "\n".join(text_outside_secrets(item) for item in value)
    return str(value)


def test_every_host_gets_its_machine_its_engine_and_its_setup(program: Program) -> None:
    for host in HOSTS:
        assert program.named(host, "Container").parent == "hosts"
        assert program.named(f"{host}-setup", "remote:Command").parent == host
        assert program.named(f"{host}-docker", "providers:docker").parent == host


def test_each_host_runs_the_containers_of_its_roles_only(program: Program) -> None:
    placed = {r.request.name: r.provider for r in program.of_type("container:Container")}
    assert placed == {
        **dict.fromkeys(HOSTS, "operator-engine"),
        "registry-container": "yard-docker",
        "registry-front-container": "yard-docker",
        "web-1-proxy-container": "web-1-docker",
        "web-2-proxy-container": "web-2-docker",
        "web-web-1": "web-1-docker",
        "web-web-2": "web-2-docker",
    }


def test_resources_on_a_host_are_deleted_and_replaced_with_it(program: Program) -> None:
    machines = {host: program.named(host, "container:Container") for host in HOSTS}
    for resource in program.resources.values():
        host = next((h for h in HOSTS if resource.provider == f"{h}-docker"), None)
        if host is None and resource.request.type.endswith("Command"):
            name = resource.request.name.replace("registry-", "yard-")
            host = next(h for h in HOSTS if h in name)
        if host is None:
            continue
        machine = machines[host].request.name
        # Pulumi deletes these resources first and marks the machine as deleted last.
        deleted_with = machine if resource.request.name == f"{host}-setup" else f"{host}-setup"
        assert resource.request.deletedWith.endswith(f"::{deleted_with}"), resource.urn
        assert [urn.rpartition("::")[2] for urn in resource.request.replace_with] == [machine], resource.urn


ON_THE_OPERATORS_ENGINE = [
    ("slipway-test", "network:Network", ""),
    ("slipway-test-registry", "volume:Volume", "yard"),
    *((f"slipway-test-{host}-docker", "volume:Volume", host) for host in HOSTS),
    *((host, "container:Container", host) for host in HOSTS),
]


@pytest.mark.parametrize(("name", "kind", "host"), ON_THE_OPERATORS_ENGINE)
def test_resources_on_the_operators_engine_have_the_states_labels(
    program: Program, name: str, kind: str, host: str
) -> None:
    made = program.named(name, kind)
    assert {pair["label"]: pair["value"] for pair in made.inputs["labels"]} == {
        "slipway.project": "slipway",
        "slipway.stack": "test",
        "slipway.state": state_id("ssh-ed25519 ssh-key"),
        "slipway.clone": str(Path.cwd()),
        **({"slipway.host": host} if host else {}),
    }
    # Another label would replace it, and older versions gave fewer.
    assert "labels" in made.request.ignoreChanges


def test_what_a_review_environment_has_there_names_the_pull_request() -> None:
    program = run(json.dumps({"review": {"pullRequest": 582, "until": "2026-01-31T12:00:00Z"}}))
    for name, kind, _ in ON_THE_OPERATORS_ENGINE:
        made = program.named(name, kind)
        labels = {pair["label"]: pair["value"] for pair in made.inputs["labels"]}
        assert labels["slipway.review"] == "582"


def test_nothing_else_is_on_the_operators_engine(program: Program) -> None:
    placed = {r.request.name for r in program.resources.values() if r.provider == "operator-engine"}
    assert placed == {name for name, *_ in ON_THE_OPERATORS_ENGINE} | {"host-image"}


def test_secrets_are_secret_in_every_input(program: Program) -> None:
    for resource in program.resources.values():
        if resource.request.type.startswith("tls:"):
            continue  # the plugin's own schema marks these
        shown = text_outside_secrets(resource.inputs)
        assert not [secret for secret in SECRETS if secret in shown], resource.urn


def test_secrets_are_secret_in_every_output(program: Program) -> None:
    assert not [secret for secret in SECRETS if secret in text_outside_secrets(program.outputs)]
    passwords = program.outputs["registryPasswords"].value
    assert passwords.items() >= PASSWORDS.items()
    assert passwords.keys() == {*PASSWORDS, "host/web-1", "host/web-2"}
    assert program.outputs["engineClientKey"] == Secret("private key of operator-key")
    assert program.outputs["sshPrivateKey"] == Secret("openssh key of ssh-key")


def test_no_secret_is_in_a_commands_text_or_environment(program: Program) -> None:
    for command in program.of_type(":Command"):
        inputs = command.inputs
        visible = [inputs["create"], inputs.get("delete", ""), inputs.get("environment", "")]
        assert not [secret for secret in SECRETS if secret in str(visible)], command.urn
        if "stdin" in inputs:
            assert isinstance(inputs["stdin"], Secret)
            assert inputs["logging"] == "none"
            assert {"stdout", "stderr"} <= set(command.request.additionalSecretOutputs)
        assert inputs["addPreviousOutputInEnv"] is False


def test_engines_and_ssh_answer_on_loopback_only(program: Program) -> None:
    for host in HOSTS:
        ports = program.named(host, "container:Container").inputs["ports"]
        assert {port["ip"] for port in ports} == {"127.0.0.1"}
    published = {
        host: {
            int(p["internal"]): int(p["external"])
            for p in program.named(host, "container:Container").inputs["ports"]
        }
        for host in HOSTS
    }
    assert published == {
        "yard": {22: 2200, 2376: 23760, 5000: 5000},
        "web-1": {22: 2201, 2376: 23761, 80: 8081},
        "web-2": {22: 2202, 2376: 23762, 80: 8082},
    }


def test_ssh_trusts_only_the_host_key_of_the_stack(program: Program) -> None:
    for host in HOSTS:
        connection = program.named(f"{host}-setup", "remote:Command").inputs["connection"]
        known = connection.value if isinstance(connection, Secret) else connection
        assert known["hostKey"] == f"ssh-ed25519 {host}-host-key"
        # A new machine may still be booting. Later it has answered already.
        assert known["dialErrorLimit"] == -1
        uploads = {
            u["file"]: u["content"] for u in program.named(host, "container:Container").inputs["uploads"]
        }
        assert uploads["/etc/ssh/ssh_host_ed25519_key"] == Secret(f"openssh key of {host}-host-key")


def test_only_a_machines_first_command_waits_for_it_as_long_as_it_takes(program: Program) -> None:
    limits = {
        resource.request.name: (known.value if isinstance(known, Secret) else known)["dialErrorLimit"]
        for resource in program.of_type("remote:Command")
        for known in [resource.inputs["connection"]]
    }
    assert {name for name, limit in limits.items() if limit < 0} == {f"{host}-setup" for host in HOSTS}
    assert set(limits.values()) == {-1, DIAL_RETRIES}


def test_the_roll_out_goes_from_host_to_host(program: Program) -> None:
    first, second = (
        program.named("web-web-1", "container:Container"),
        program.named("web-web-2", "container:Container"),
    )
    before = {urn.rpartition("::")[2] for urn in second.request.dependencies}
    assert "web-web-1-switch" in before
    assert "web-web-2-switch" not in {urn.rpartition("::")[2] for urn in first.request.dependencies}


def test_a_roll_out_goes_from_batch_to_batch() -> None:
    hosts = {"yard": {"roles": ["registry", "build"]}} | {f"web-{n}": {"roles": ["app"]} for n in range(1, 7)}
    rollout = {"parallel": 2, "canary": 1, "pause": 10}
    build = {"context": "app", "base": {"context": "app/base"}}
    web = {"build": build, "rollout": rollout, "release": "bin/migrate"}
    registry = {"retention": {"keep": 3}}
    found = run(json.dumps({"hosts": hosts, "services": {"web": web}, "registry": registry}))

    def before(name: str, kind: str) -> set[str]:
        return {urn.rpartition("::")[2] for urn in found.named(name, kind).request.dependencies}

    def switches(*numbers: int) -> set[str]:
        return {f"web-web-{number}-switch" for number in numbers}

    waits = {
        number: before(f"web-web-{number}", "container:Container") & switches(*range(1, 7))
        for number in range(1, 7)
    }
    assert waits == {
        1: set(),
        **dict.fromkeys((2, 3), switches(1)),
        **dict.fromkeys((4, 5), switches(2, 3)),
        6: switches(4, 5),
    }
    # Nothing starts before every host has the image, and no host waits for another one with that.
    pulls = {f"web-web-{number}-image" for number in range(1, 7)}
    assert pulls <= before("web-web-1", "container:Container")
    assert not any(before(pull, "RemoteImage") & switches(*range(1, 7)) for pull in pulls)
    assert before("web-history", "volume:Volume") >= switches(6)
    pauses = {
        number: "pause=10" in str(found.named(f"web-web-{number}-switch").inputs["create"])
        for number in range(1, 7)
    }
    assert pauses == {**dict.fromkeys(range(1, 6), True), 6: False}
    assert "web-release" in before("web-web-1-switch", "remote:Command")


def test_a_first_batch_waits_for_the_release_command() -> None:
    build = {"context": "app", "base": {"context": "app/base"}}
    web = {"build": build, "rollout": {"parallel": "100%"}, "release": "bin/migrate"}
    found = run(json.dumps({"services": {"web": web}}))
    for host in ("web-1", "web-2"):
        switch = found.named(f"web-{host}-switch")
        assert "web-release" in {urn.rpartition("::")[2] for urn in switch.request.dependencies}
        assert "pause" not in str(switch.inputs["create"])


def test_an_app_container_is_made_before_the_old_one_goes(program: Program) -> None:
    container = program.named("web-web-1", "container:Container")
    assert container.request.deleteBeforeReplaceDefined
    assert container.request.deleteBeforeReplace is False
    # With a fixed name or a published port the new container could not start beside the old one.
    assert not {"name", "ports"} & container.inputs.keys()


def test_a_container_with_a_fixed_name_or_port_is_deleted_before_its_replacement(program: Program) -> None:
    fixed = [r for r in program.of_type("container:Container") if {"name", "ports"} & r.inputs.keys()]
    assert len(fixed) == 7
    for container in fixed:
        assert container.request.deleteBeforeReplace, container.urn


def test_images_run_by_digest(program: Program) -> None:
    for host in ("web-1", "web-2"):
        assert (
            program.named(f"web-{host}-image", "RemoteImage").inputs["name"]
            == "yard:5000/web@sha256:web-image"
        )
        assert (
            program.named(f"web-{host}", "container:Container").inputs["image"] == f"sha256:web-{host}-image"
        )
    assert program.outputs["images"] == {"web": "yard:5000/web@sha256:web-image"}


def test_the_registrys_data_is_a_volume_that_is_kept(program: Program) -> None:
    data = program.named("slipway-test-registry", "Volume")
    assert data.request.retainOnDelete
    assert data.inputs["name"] == "slipway-test-registry"
    mounts = program.named("yard", "container:Container").inputs["volumes"]
    assert "/var/lib/slipway/registry" in {mount["containerPath"] for mount in mounts}
    inside = program.named("registry-container").inputs["volumes"]
    assert {m["hostPath"]: m["containerPath"] for m in inside}[
        "/var/lib/slipway/registry"
    ] == "/var/lib/registry"


def test_every_container_is_limited_and_gains_no_privileges(program: Program) -> None:
    for container in program.of_type("container:Container"):
        if container.provider == "operator-engine":
            assert container.inputs["capabilities"]["drops"] == ["ALL"]
            continue
        assert container.inputs["securityOpts"] == ["no-new-privileges"]
        assert container.inputs["memory"] > 0
        assert container.inputs["restart"] in ("always", "unless-stopped")
        if container.inputs.get("name") != PROXY_CONTAINER:
            assert container.inputs["capabilities"]["drops"] == ["ALL"]
    rights = [f"CAP_{capability}" for capability in CAPABILITIES]
    assert program.named("web-web-1").inputs["capabilities"]["adds"] == rights
    assert not program.named("registry-container").inputs["capabilities"].get("adds")


def test_certificates_carry_the_names_by_which_they_are_called(program: Program) -> None:
    for name, host in (("registry-server", "yard"), ("web-1-engine", "web-1")):
        request = program.named(f"{name}-request").inputs
        assert request["dnsNames"] == [host, "localhost"]
        assert request["ipAddresses"] == ["127.0.0.1"]
        assert program.named(f"{name}-certificate").inputs["allowedUses"] == [
            "digital_signature",
            "server_auth",
        ]
    assert program.named("operator-certificate").inputs["allowedUses"] == ["digital_signature", "client_auth"]


def test_engine_and_registry_have_authorities_of_their_own(program: Program) -> None:
    signers = {r.request.name: r.inputs["caCertPem"] for r in program.of_type("LocallySignedCert")}
    assert signers == {
        "operator-certificate": "certificate of engine-ca-certificate",
        **{f"{host}-engine-certificate": "certificate of engine-ca-certificate" for host in HOSTS},
        "registry-server-certificate": "certificate of registry-ca-certificate",
    }


def test_each_operator_has_a_key_and_a_certificate_of_their_own() -> None:
    operators = dict.fromkeys(("alice", "bob"), OPERATORS_KEY)
    program = run(json.dumps({"operators": operators}))
    pair = hashlib.sha256(OPERATORS_KEY.encode()).hexdigest()[:8]
    for name in operators:
        certificate = program.named(f"operator-{name}-{pair}-certificate").inputs
        assert certificate["allowedUses"] == ["digital_signature", "client_auth"]
        # Signed by itself: taking it out of what the engines trust takes away this person's, and nobody else's.
        assert "caCertPem" not in certificate
        assert not certificate.get("isCaCertificate")
        assert certificate["earlyRenewalHours"] == 720
    for host in HOSTS:
        values = program.named(f"{host}-setup", "remote:Command").inputs["stdin"].value
        trusted = re.search(r"^ENGINE_CA='?([^'\n]*)'?$", values, re.MULTILINE)
        assert trusted
        assert trusted[1] == "certificate of " + "certificate of ".join(
            (
                "engine-ca-certificate",
                f"operator-alice-{pair}-certificate",
                f"operator-bob-{pair}-certificate",
            )
        )
        lines = "".join(f"{OPERATORS_KEY} slipway-operator:{name}\n" for name in operators)
        assert f"OPERATOR_KEYS='{lines}'\n" in values
        # The provider trusts the engine CA alone: an operator cannot pass for an engine.
        provider = program.named(f"{host}-docker").inputs
        assert provider["caMaterial"] == "certificate of engine-ca-certificate"
    assert program.outputs["operatorCertificates"] == {
        name: f"certificate of operator-{name}-{pair}-certificate" for name in operators
    }
    assert program.outputs["operatorKeys"] == Secret(
        {name: f"private key of operator-{name}-{pair}-key" for name in operators}
    )


def test_another_key_of_an_operator_is_another_certificate() -> None:
    """So a line with a new key takes away the certificate of the laptop that is lost, as well."""
    other = f"{OPERATORS_KEY.removesuffix('V')}A"
    one, two = (
        {
            name
            for name in run(json.dumps({"operators": {"alice": key}})).resources
            if "operator-alice-" in name
        }
        for key in (OPERATORS_KEY, other)
    )
    assert len(one) == len(two) == 2
    assert not one & two


def test_engines_without_operators_know_their_clients_as_before(program: Program) -> None:
    values = program.named("yard-setup", "remote:Command").inputs["stdin"].value
    assert "ENGINE_CA='certificate of engine-ca-certificate'\n" in values
    assert "OPERATOR_KEYS=''\n" in values


def test_every_child_has_a_parent_of_slipways(program: Program) -> None:
    top = {r.urn for r in program.resources.values() if r.request.parent.endswith("slipway-test")}
    assert all(urn.startswith(("slipway:", "tls:index/privateKey")) for urn in top), top


def test_one_host_can_do_everything() -> None:
    program = run(json.dumps({"hosts": {"box": {"roles": ["registry", "build", "app"]}}}))
    ports = {int(port["internal"]) for port in program.named("box", "container:Container").inputs["ports"]}
    assert ports == {22, 80, 2376, 5000}
    assert program.outputs["serviceUrls"] == {"web": ["http://127.0.0.1:8080/"]}
    assert program.outputs["serviceHosts"] == {"web": ["box"]}


def test_two_services_share_a_host_by_their_domains() -> None:
    build = {"context": "app", "base": {"context": "app/base"}}
    program = run(
        json.dumps(
            {
                "services": {
                    "shop": {"build": build, "domain": "shop.example.com"},
                    "blog": {"build": build, "domain": "blog.example.com", "hosts": ["web-2"]},
                }
            }
        )
    )
    switches = {
        r.request.name: r.inputs["create"]
        for r in program.of_type("remote:Command")
        if "switch" in r.request.name
    }
    assert set(switches) == {"shop-web-1-switch", "shop-web-2-switch", "blog-web-2-switch"}
    assert program.outputs["serviceHosts"] == {"shop": ["web-1", "web-2"], "blog": ["web-2"]}
    assert switches["blog-web-2-switch"].endswith(" 8080 /up 30 30 10 blog.example.com https=8445")
    # Routes of former domains go once all services of the host have switched.
    routes = {host: program.named(f"{host}-routes") for host in ("web-1", "web-2")}
    assert routes["web-1"].inputs["create"].endswith(" --only @shop.example.com certificates=shop")
    only = " --only @blog.example.com @shop.example.com certificates=shop,blog"
    assert routes["web-2"].inputs["create"].endswith(only)
    waits_for = {urn.rpartition("::")[2] for urn in routes["web-2"].request.dependencies}
    assert waits_for >= {"shop-web-2-switch", "blog-web-2-switch"}


def test_what_a_proxy_demands_of_visitors_comes_before_the_switch_and_is_secret() -> None:
    build = {"context": "app", "base": {"context": "app/base"}}
    services = {
        "shop": {
            "build": build,
            "domain": "shop.example.com",
            "tls": "off",
            "auth": {"alice": "ALICE_PASSWORD", "bob": "BOB_PASSWORD"},
            "rateLimit": {"requests": 100, "seconds": 10},
            "errorPage": "app/Dockerfile",
        },
        "blog": {"build": build, "hosts": ["web-2"]},
    }
    secrets = {"ALICE_PASSWORD": "hers is long", "BOB_PASSWORD": "his is long"}
    program = run(json.dumps({"services": services, "secrets": secrets}))
    for host in ("web-1", "web-2"):
        handed = program.named(f"{host}-visitors", "Command")
        values = handed.inputs["stdin"]
        assert isinstance(values, Secret)
        script = "visitors.sh without its comments"
        assert script in values.value
        head = values.value.partition("#!/usr/bin/env bash")[0]
        result = subprocess.run(
            ["bash", "-c", f'{head}\nprintf %s "$VISITORS" "$PAGES"'],
            capture_output=True,
            text=True,
            check=True,
        )
        first, alice, bob, page = result.stdout.splitlines()
        assert (first, page.partition(" ")[0]) == ("service shop", "shop")
        for line, name, password in ((alice, "alice", b"hers is long"), (bob, "bob", b"his is long")):
            assert line.startswith(f"{name} $2b$08$")
            assert bcrypt.checkpw(password, line.partition(" ")[2].encode())
        assert base64.b64decode(page.partition(" ")[2]) == (ROOT / "app/Dockerfile").read_bytes()
        waits = program.named(f"shop-{host}", "Container").request.dependencies
        assert any(urn.endswith(f"::{host}-visitors") for urn in waits)
        assert program.named(f"shop-{host}-switch").inputs["create"].endswith(" auth=yes rate=100/10")
        only = program.named(f"{host}-routes").inputs["create"]
        assert only.endswith(" passwords=shop pages=shop")
    assert "is long" not in "".join(text_outside_secrets(r.inputs) for r in program.resources.values())


def test_the_switch_starts_a_services_container(program: Program) -> None:
    container = program.named("web-web-1", "container:Container").inputs
    assert (container["start"], container["mustRun"]) == (False, False)
    # A limit by user would count all containers together.
    assert "ulimits" not in container


def test_a_protected_stack_keeps_its_hosts_and_their_data() -> None:
    program = run(json.dumps({"protect": True}))
    assert all(program.named(host, "container:Container").request.protect for host in HOSTS)
    assert program.named("slipway-test-registry", "Volume").request.protect


def test_the_registry_speaks_tls_unless_insecure_is_set(
    program: Program, capfd: pytest.CaptureFixture[str]
) -> None:
    def configuration(one: Program) -> tuple[str, str, str]:
        registry = one.named("registry-settings").inputs["stdin"].value
        host = one.named("web-1-setup").inputs["stdin"].value
        return registry, host, one.named("registry-answers").inputs["create"]

    registry, host, answers = configuration(program)
    assert "bind :5000 ssl crt " in registry
    assert "ssl-min-ver TLSv1.2" in registry
    assert "INSECURE_REGISTRY=''" in host
    assert answers.endswith(" https://yard:5000")
    assert program.outputs["registryMode"] == "own"

    insecure = run(json.dumps({"registry": {"users": ["alice"], "insecure": True}}))
    registry, host, answers = configuration(insecure)
    assert "bind :5000\n" in registry
    assert "INSECURE_REGISTRY=yard:5000" in host
    assert answers.endswith(" http://yard:5000")
    assert insecure.outputs["registryMode"] == "insecure"
    assert insecure.outputs["registryCaCertificate"] == ""


EXTERNAL = {
    "hosts": {"build": {"roles": ["build"]}, "web-1": {"roles": ["app"]}},
    "registry": {"external": {"server": "docker.io", "namespace": "team", "username": "bot"}},
    "secrets": {"REGISTRY_PASSWORD": "password-at-docker-hub"},
}


def test_a_stack_without_services_runs_nothing() -> None:
    outputs = run(json.dumps({"services": {}})).outputs
    assert (outputs["images"], outputs["serviceHosts"]) == ({}, {})


def test_someone_elses_registry_takes_the_place_of_our_own() -> None:
    program = run(json.dumps(EXTERNAL))
    assert not [r for r in program.resources.values() if r.request.name.startswith("registry-c")]
    for host in ("build", "web-1"):
        trial = program.named(f"{host}-registry-login").inputs["stdin"].value
        assert "SERVER=docker.io" in trial
        assert "ACCOUNT=bot" in trial
        assert "PASSWORD=password-at-docker-hub" in trial
        assert "REGISTRY_CA=''" in program.named(f"{host}-setup").inputs["stdin"].value
    image = program.named("web-image", "docker:index/image:Image").inputs
    assert image["imageName"].startswith("docker.io/team/web:")
    assert image["registry"]["server"] == "docker.io"
    # The engine may report a shortened name.
    assert program.outputs["images"] == {"web": "docker.io/team/web@sha256:web-image"}
    assert program.outputs["registryMode"] == "external"
    assert program.outputs["registryAddress"] == program.outputs["registryPublicAddress"] == "docker.io"
    assert program.outputs["registryAccounts"] == ["bot"]
    assert program.outputs["registryPasswords"] == Secret({"bot": "password-at-docker-hub"})
    for resource in program.resources.values():
        assert "password-at-docker-hub" not in text_outside_secrets(resource.inputs), resource.urn


def test_another_stacks_registry_is_found_by_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {
        "registryPublicAddress": "203.0.113.7:5000",
        "registryCaCertificate": "the other's CA",
        "registryMode": "own",
    }
    monkeypatch.setattr("components.registry_access.outputs_of", {"organization/slipway/base": others}.get)
    external = {"stack": "organization/slipway/base", "username": "guest"}
    program = run(json.dumps({**EXTERNAL, "registry": {"external": external}}))
    assert program.outputs["images"] == {"web": "203.0.113.7:5000/web@sha256:web-image"}
    assert program.outputs["registryCaCertificate"] == "the other's CA"
    assert "REGISTRY_CA='the other'" in program.named("web-1-setup").inputs["stdin"].value


@pytest.mark.parametrize(
    ("outputs", "mistake"),
    [
        ({}, "it has no output registryPublicAddress"),
        (
            {"registryPublicAddress": "127.0.0.1:5000", "registryMode": "own"},
            "which the hosts of this stack cannot reach",
        ),
        (
            {"registryPublicAddress": "203.0.113.7:5000", "registryMode": "insecure"},
            "no registry of its own with TLS",
        ),
        (
            {
                "registryPublicAddress": "203.0.113.7:5000",
                "registryMode": "own",
                "registryClientCertificates": {"hosts": "a certificate"},
            },
            "requires client certificates",
        ),
    ],
)
def test_another_stack_whose_registry_cannot_be_used_is_refused(
    outputs: dict[str, str], mistake: str
) -> None:
    whole = {"registryCaCertificate": "", **outputs} if outputs else {}
    assert mistake in _mistake(whole)


def test_a_source_that_wants_an_account_gets_it_and_no_other_one_does() -> None:
    secrets = {"TOKEN": "token-at-another-registry"}
    sources = {
        "docker.io": {"username": "bot", "password": {"secret": "TOKEN"}},
    }
    images = ["debian:12", "ghcr.io/team/base:1"]
    changes = {"registry": {"users": ["alice"], "mirror": images, "sources": sources}, "secrets": secrets}
    found = run(json.dumps(changes))
    auth = base64.b64encode(b"bot:token-at-another-registry").decode()
    logins = {"auths": {name: {"auth": auth} for name in ("docker.io", "https://index.docker.io/v1/")}}
    for name, has_account in (
        ("mirror-debian-12", True),
        ("mirror-ghcr-io-team-base-1", False),
        ("yard-mirror", True),
    ):
        command = found.named(name).inputs
        assert isinstance(command["stdin"], Secret)
        assert (f"SOURCE_LOGINS='{json.dumps(logins)}'\n" in command["stdin"].value) == has_account
        assert auth not in str({key: value for key, value in command.items() if key != "stdin"})
    assert secrets["TOKEN"] not in str(found.outputs)


def test_builds_start_from_the_mirrored_images(program: Program) -> None:
    mirrored = run(json.dumps({"registry": {"users": ["alice"], "mirror": ["debian:12"]}}))
    copy = mirrored.named("mirror-debian-12").inputs
    assert "SOURCE=docker.io/library/debian:12" in copy["stdin"].value
    assert "COPY=yard:5000/mirror/debian:12" in copy["stdin"].value
    # A tag is looked up when the copy is made, and never again by itself.
    assert (copy["create"], copy["update"]) == ("bash -s", "bash -s keep")
    assert not mirrored.named("mirror-debian-12").request.replace_with
    reference = mirrored.outputs["mirror"]["debian:12"]
    assert reference == "yard:5000/mirror/debian@sha256:mirror-debian-12"
    line = "yard:5000/mirror/debian 12 docker.io/library/debian debian:12 sha256:mirror-debian-12"
    assert f"COPIES='{line}'" in mirrored.named("yard-mirror").inputs["stdin"].value
    for image in ("web-image", "web-base-image"):
        after = {urn.rpartition("::")[2] for urn in mirrored.named(image).request.dependencies}
        assert "yard-mirror" in after
        # Another copy would be another image.
        name = program.named(image, "docker:index/image:Image").inputs["imageName"]
        assert mirrored.named(image, "docker:index/image:Image").inputs["imageName"] != name
    # The host has it from there, and needs no way to where it comes from.
    assert (
        "\nIMAGES='haproxy:3.0.11\nregistry:3.1.1'\n" in mirrored.named("yard-images").inputs["stdin"].value
    )
    assert "debian:12" in program.named("yard-images").inputs["stdin"].value


@pytest.mark.parametrize(("base", "is_loaded"), [("yard:5000/tools:1", False), ("other:5000/tools:1", True)])
def test_images_of_the_stacks_registry_are_left_to_the_build(base: str, is_loaded: bool) -> None:
    """The build pulls them with an account, and the script that loads images has none."""
    build = {"context": "app", "base": {"context": "app/base", "args": {"BASE": base}}}
    loads = run(json.dumps({"services": {"web": {"build": build}}})).named("yard-images")
    assert ("tools:1" in loads.inputs["stdin"].value) is is_loaded
    assert "registry:3.1.1" in loads.inputs["stdin"].value


def test_metrics_are_on_a_private_port_or_nowhere(program: Program) -> None:
    assert "addr: 127.0.0.1:5001" in program.named("registry-settings").inputs["stdin"].value
    assert program.outputs["registryMetricsUrl"] == ""

    told = run(json.dumps({"registry": {"users": ["alice"], "metricsPort": 9100}}))
    assert "addr: :5001" in told.named("registry-settings").inputs["stdin"].value
    inside = told.named("registry-container").inputs["ports"]
    assert {int(p["internal"]): int(p["external"]) for p in inside} == {5001: 9100}
    published = {
        int(p["internal"]): p["ip"] for p in told.named("yard", "container:Container").inputs["ports"]
    }
    assert published[9100] == "127.0.0.1"
    assert told.outputs["registryMetricsUrl"] == "http://127.0.0.1:9100/metrics"


def test_a_services_secrets_are_files_and_nothing_else() -> None:
    build = {"context": "app", "base": {"context": "app/base"}}
    program = run(
        json.dumps(
            {
                "services": {"web": {"build": build, "secrets": ["TOKEN"], "env": {"LEVEL": "info"}}},
                "secrets": {"TOKEN": "a-token-of-the-service"},
            }
        )
    )
    inputs = program.named("web-web-1", "container:Container").inputs
    assert inputs["envs"] == ["LEVEL=info"]
    assert inputs["uploads"] == []
    folder = "/run/slipway/secrets/web/"
    (volume,) = inputs["volumes"]
    assert volume["hostPath"].startswith(folder)
    assert (volume["containerPath"], volume["readOnly"]) == ("/run/secrets", True)
    brought = program.named("web-web-1-secrets")
    assert f"VERSION={volume['hostPath'].removeprefix(folder)}\n" in brought.inputs["stdin"].value
    encoded = base64.b64encode(b"a-token-of-the-service").decode()
    assert f"SECRETS='TOKEN {encoded}'\n" in brought.inputs["stdin"].value
    container = program.named("web-web-1", "container:Container").request
    assert brought.full_urn in container.dependencies


def test_another_secret_makes_another_folder_that_tells_nothing_of_it() -> None:
    key, other = "a key", "another key"
    assert secret_files.version(key, {"A": "1"}) == secret_files.version(key, {"A": "1"})
    folders = {
        secret_files.version(*known)
        for known in ((key, {"A": "1"}), (key, {"A": "2"}), (key, {"B": "1"}), (other, {"A": "1"}))
    }
    assert len(folders) == 4


def test_a_release_command_runs_on_the_first_host_before_any_switch() -> None:
    build = {"context": "app", "base": {"context": "app/base"}}
    services = {
        # It is made after web, although it comes first.
        "jobs": {"from": "web", "health": {"none": True}},
        "web": {
            "build": build,
            "release": "bin/migrate 'all of it'",
            "releaseTimeout": 60,
            "secrets": ["TOKEN"],
        },
    }
    program = run(json.dumps({"services": services, "secrets": {"TOKEN": "a-token-of-the-service"}}))
    release = program.named("web-release", "remote:Command")

    def before(name: str, kind: str) -> set[str]:
        return {urn.rpartition("::")[2] for urn in program.named(name, kind).request.dependencies}

    assert "web-release" in before("web-web-1-switch", "remote:Command")
    assert "web-release" not in before("web-web-2-switch", "remote:Command")
    assert {"web-release"} <= before("jobs-web-1", "container:Container") - before(
        "web-web-1", "container:Container"
    )
    assert "web-web-1" in before("web-release", "remote:Command")
    words = shlex.split(release.inputs["create"])
    assert words[:4] == ["/usr/local/lib/slipway/switch", "--release", "web", "web-web-1-0123456"]
    assert words[5:] == ["60", "10", "--", "/bin/sh", "-c", "bin/migrate 'all of it'"]
    assert len(words[4]) == 16


def test_a_services_files_are_secrets_that_its_host_mounts(tmp_path: Path) -> None:
    local, template = tmp_path / "users.xml", tmp_path / "app.ini.j2"
    local.write_bytes(b"\xff users")
    template.write_text("{{ stack }} {{ service }} {{ settings.services.web.port }} {{ secrets.TOKEN }}\n")
    build = {"context": "app", "base": {"context": "app/base"}}
    files = {
        "/srv/users.xml": {"file": str(local), "owner": "1000"},
        "/etc/app.ini": {"template": str(template), "owner": "1:2", "mode": "440"},
    }

    def made(secret: str) -> tuple[dict[str, Any], list[Any]]:
        services = {"web": {"build": build, "port": 9000, "files": files, "readOnly": True}}
        program = run(json.dumps({"services": services, "secrets": {"TOKEN": secret}}))
        container = program.named("web-web-1", "container:Container")
        assert "web-web-1-files" in {urn.rpartition("::")[2] for urn in container.request.dependencies}
        return program.named("web-web-1-files", "remote:Command").inputs, container.inputs["volumes"]

    command, mounts = made("a-token-of-the-service")
    stdin = command["stdin"].value
    content = base64.b64encode(b"test web 9000 a-token-of-the-service\n").decode()
    assert f"0 0440 1:2 {content}\n1 0444 1000:1000 {base64.b64encode(local.read_bytes()).decode()}" in stdin
    assert [(mount["containerPath"], mount["readOnly"]) for mount in mounts] == [
        ("/etc/app.ini", True),
        ("/srv/users.xml", True),
    ]
    (version,) = {mount["hostPath"].rpartition("/")[0] for mount in mounts}
    assert version.startswith("/etc/slipway/files/web/")
    # Another content is at another path, so that it comes with a new container.
    assert made("another-token-of-the-service")[1] != mounts


def test_a_host_gets_no_secret_of_services_elsewhere() -> None:
    """Nor an account of the registry but its own."""
    build = {"context": "app", "base": {"context": "app/base"}}
    program = run(
        json.dumps(
            {
                "services": {
                    "web": {"build": build, "secrets": ["TOKEN"], "hosts": ["web-1"]},
                    "shop": {
                        "build": build,
                        "secrets": ["KEY"],
                        "hosts": ["web-2"],
                        "domains": ["shop.example.com"],
                    },
                },
                "secrets": {"TOKEN": "a-token-of-the-service", "KEY": "a-key-of-the-shop"},
            }
        )
    )
    passwords = program.outputs["registryPasswords"].value
    for host, own, others in (("web-1", "TOKEN", "KEY"), ("web-2", "KEY", "TOKEN")):
        there = "\n".join(
            f"{resource.inputs}"
            for resource in program.resources.values()
            if resource.provider == f"{host}-docker" or host in resource.request.name
        )
        secrets = {"TOKEN": "a-token-of-the-service", "KEY": "a-key-of-the-shop"}
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in secrets.items()}
        assert encoded[own] in there
        assert encoded[others] not in there
        assert secrets[others] not in there
        seen = {name for name, password in passwords.items() if password in there}
        assert seen == {f"host/{host}"}


def test_the_aws_sdk_is_not_imported_for_local() -> None:
    code = """
import sys
from unittest import mock
from tests.unit import program
with mock.patch("configuration.local_ports.occupied", lambda *_: []):
    program.run()
sys.exit("pulumi_aws" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode == 0


def test_images_are_kept_for_ever_unless_the_stack_says_otherwise(program: Program) -> None:
    assert not [volume for volume in program.of_type("volume:Volume") if "deployed" in volume.urn]
    assert "RETENTION=''\n" in program.named("registry-settings").inputs["stdin"].value


def test_the_images_of_services_have_deployed_markers_on_the_registrys_host() -> None:
    program = run(json.dumps({"registry": {"users": ["alice"], "retention": {"keep": 3}}}))
    settings = program.named("registry-settings").inputs["stdin"].value
    (rule,) = shlex.split(settings.partition("\nRETENTION=")[2].partition("\nRETENTION_TIME=")[0])
    assert "KEEP=3\nDAYS=30\n" in rule
    assert "SERVICES=web\nPLACES='web/web-1 web/web-2'\n" in rule
    mark = program.named("web-deployed")
    assert mark.provider == "yard-docker"
    labels = {label["label"]: label["value"] for label in mark.inputs["labels"]}
    # With the base image, by which the next build begins.
    assert labels["slipway.deployed"] == "web@sha256:web-image web-base@sha256:web-base-image"
    assert labels["slipway.service"] == "web"
    # The old marker is deleted last, after all switches; a new container waits for the new marker.
    assert mark.request.deleteBeforeReplace is False
    assert mark.request.deleteBeforeReplaceDefined
    for host in ("web-1", "web-2"):
        container = program.named(f"web-{host}", "container:Container")
        assert mark.request.name in {urn.rpartition("::")[2] for urn in container.request.dependencies}


@pytest.mark.parametrize(
    ("name", "switch", "label", "host", "retained"),
    [
        ("web-web-1-served", "web-web-1-switch", "slipway.serving", "web-1", False),
        ("web-web-2-served", "web-web-2-switch", "slipway.serving", "web-2", False),
        ("web-history", "web-web-2-switch", "slipway.served", None, True),
    ],
)
def test_a_serving_marker_is_made_after_the_switch(
    name: str, switch: str, label: str, host: str | None, retained: bool
) -> None:
    program = run(json.dumps({"registry": {"users": ["alice"], "retention": {"keep": 3}}}))
    mark = program.named(name)
    assert mark.provider == "yard-docker"
    assert mark.parent == "web"
    labels = {label["label"]: label["value"] for label in mark.inputs["labels"]}
    assert labels == {
        "slipway.stack": "test",
        "slipway.service": "web",
        label: "web@sha256:web-image web-base@sha256:web-base-image",
    } | ({"slipway.host": host} if host else {})
    after = {urn.rpartition("::")[2] for urn in mark.request.dependencies}
    assert {name for name in after if name.endswith("-switch")} == {switch}
    # No input comes from the switch: Pulumi would delete the marker before it replaces the switch.
    assert switch not in str(mark.request.propertyDependencies)
    # The old marker stays until the new one is made.
    assert mark.request.deleteBeforeReplace is False
    assert mark.request.deleteBeforeReplaceDefined
    assert mark.request.retainOnDelete is retained
    # It is on the registry's host, and is deleted with that host only.
    assert mark.request.deletedWith.endswith("::yard-setup")
    assert [urn.rpartition("::")[2] for urn in mark.request.replace_with] == ["yard"]


def test_no_host_waits_for_a_serving_marker() -> None:
    program = run(json.dumps({"registry": {"users": ["alice"], "retention": {"keep": 3}}}))
    marks = {"web-web-1-served", "web-web-2-served", "web-history"}
    for resource in program.resources.values():
        assert not marks & {urn.rpartition("::")[2] for urn in resource.request.dependencies}, resource.urn
