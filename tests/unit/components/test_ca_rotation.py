"""CA rotation: a new generation replaces the old one in two updates; the last outputs say which is next."""

import json
from collections.abc import Mapping
from types import SimpleNamespace

import pulumi
import pytest

from components import previous_outputs
from components.ca_rotation import Rotation, rotations
from tests.unit.program import Program, Secret, run

HOSTS = ("web-1", "web-2", "yard")
OLD, NEW = "certificate of registry-ca-certificate", "certificate of registry-ca-2-certificate"
CROSS = "certificate of registry-ca-2-cross-certificate"


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


def program(registry: int = 1, engine: int = 1, **before: object) -> Program:
    generations = {"registryCaGeneration": registry, "engineCaGeneration": engine}
    return run(json.dumps({"certificates": generations}), json.dumps(before))


def stdin(of: Program, name: str) -> str:
    handed = of.named(name, "Command").inputs["stdin"]
    assert isinstance(handed, Secret)
    return str(handed.value)


def authorities(of: Program) -> set[str]:
    return {resource.request.name for resource in of.of_type(":CertificateAuthority")}


FIRST = {"engineCaGeneration": 1, "registryCaGeneration": 1}


@pytest.mark.parametrize(
    ("desired", "outputs", "finished", "predecessor"),
    [
        (1, {}, None, None),
        (3, {}, None, None),
        (1, {"images": {}}, 1, None),
        (2, {"images": {}}, 1, 1),
        (1, FIRST, 1, None),
        (2, FIRST, 1, 1),
        (2, {"registryCaGeneration": 2.0}, 2, None),
        (3, {"registryCaGeneration": 2.0}, 2, 2),
    ],
)
def test_the_old_generation_stays_until_an_update_has_succeeded(
    desired: int, outputs: Mapping[str, object], finished: int | None, predecessor: int | None
) -> None:
    rotation = rotations({"engine": 1, "registry": desired}, outputs)["registry"]
    assert rotation == Rotation(desired, finished)
    assert rotation.predecessor == predecessor


def test_every_unreachable_generation_is_refused_at_once() -> None:
    before = {"engineCaGeneration": 2, "registryCaGeneration": 3}
    with pytest.raises(pulumi.RunError) as refused:
        rotations({"engine": 1, "registry": 5}, before)
    said = str(refused.value)
    assert "slipway:certificates.engineCaGeneration = 1: lower than 2" in said
    assert "Set 2, or 3 for a new one." in said
    assert "slipway:certificates.registryCaGeneration = 5: this stack has 3" in said
    assert "Set 4, run `./slip up` twice" in said


def test_the_first_generation_has_no_number_in_its_names() -> None:
    assert authorities(program()) == {"engine-ca", "registry-ca"}
    known = program(**FIRST)
    assert authorities(known) == {"engine-ca", "registry-ca"}
    assert known.outputs["registryCaGeneration"] == known.outputs["engineCaGeneration"] == 1


def test_a_new_stack_starts_with_the_configured_generation() -> None:
    started = program(registry=7)
    assert authorities(started) == {"engine-ca", "registry-ca-7"}
    assert started.outputs["registryCaGeneration"] == 7


def test_in_the_first_update_every_host_trusts_both_and_the_new_one_signs() -> None:
    first = program(registry=2, **FIRST)
    assert authorities(first) == {"engine-ca", "registry-ca", "registry-ca-2"}
    for host in HOSTS:
        assert f"REGISTRY_CA='{NEW}{OLD}'" in stdin(first, f"{host}-setup")
    assert first.outputs["registryCaCertificate"] == NEW + OLD
    leaf = first.named("registry-server-certificate").inputs
    assert leaf["caCertPem"] == NEW
    # A client that trusts only the old CA accepts the leaf by the cross-signed certificate.
    cross = first.named("registry-ca-2-cross-certificate").inputs
    assert (cross["caCertPem"], cross["isCaCertificate"]) == (OLD, True)
    assert f"CERTIFICATE='certificate of registry-server-certificate{CROSS}'" in stdin(
        first, "registry-settings"
    )
    # The leaf moves only once all hosts trust both.
    waits = {urn.rpartition("::")[2] for urn in first.named("registry-settings").request.dependencies}
    assert waits >= {f"{host}-setup" for host in HOSTS}
    assert first.outputs["registryCaGeneration"] == 2


def test_in_the_second_update_every_host_trusts_the_new_one_only() -> None:
    then = program(registry=2, registryCaGeneration=2, engineCaGeneration=1)
    assert authorities(then) == {"engine-ca", "registry-ca-2"}
    assert not then.of_type("cross-certificate")
    for host in HOSTS:
        assert f"REGISTRY_CA='{NEW}'" in stdin(then, f"{host}-setup")
    assert then.outputs["registryCaCertificate"] == NEW
    assert then.named("registry-server-certificate").inputs["caCertPem"] == NEW


def test_a_killed_update_is_done_again() -> None:
    """Nothing has changed its outputs, so the next one does the very same."""
    first = program(registry=2, engine=2, **FIRST)
    assert first.outputs["engineCaGeneration"] == 2
    before = {key: FIRST[key] for key in ("engineCaGeneration", "registryCaGeneration")}
    assert program(registry=2, engine=2, **before).resources.keys() == first.resources.keys()


def test_engines_let_clients_of_both_in_while_all_certificates_move() -> None:
    first = program(engine=2, **FIRST)
    both = "certificate of engine-ca-2-certificatecertificate of engine-ca-certificate"
    for host in HOSTS:
        assert f"ENGINE_CA='{both}'" in stdin(first, f"{host}-setup")
        provider = first.named(f"{host}-docker", "providers:docker").inputs
        assert provider["caMaterial"] == both
        assert provider["certMaterial"] == (
            "certificate of operator-certificatecertificate of engine-ca-2-cross-certificate"
        )
        assert (
            first.named(f"{host}-engine-certificate").inputs["caCertPem"].endswith("engine-ca-2-certificate")
        )
    assert first.outputs["engineCaCertificate"] == both


def test_the_registry_waits_for_its_own_host_alone_otherwise() -> None:
    waits = {urn.rpartition("::")[2] for urn in program().named("registry-settings").request.dependencies}
    assert "web-1-setup" not in waits


def asking(**before: object) -> Program:
    """A program whose registry asks for client certificates."""
    return run(json.dumps({"registry": {"users": ["alice"], "clientCertificates": True}}), json.dumps(before))


def test_every_account_has_a_certificate_where_the_registry_asks_for_one() -> None:
    asked = asking()
    accounts = {"yard": "hosts", "web-1": "host/web-1", "web-2": "host/web-2"}
    for account in (*accounts.values(), "alice"):
        inputs = asked.named(f"{account}-registry-client-certificate").inputs
        assert inputs["allowedUses"] == ["digital_signature", "client_auth"]
        assert inputs["caCertPem"] == OLD
        assert asked.named(f"{account}-registry-client-request").inputs["subject"]["commonName"] == account
    every = (*accounts.values(), "alice")
    certificates = {name: f"certificate of {name}-registry-client-certificate" for name in every}
    keys = {name: f"private key of {name}-registry-client-key" for name in every}
    assert asked.outputs["registryClientCertificates"] == certificates
    assert asked.outputs["registryClientKeys"] == Secret(keys)
    for host in HOSTS:
        handed = stdin(asked, f"{host}-setup")
        assert f"CLIENT_CERTIFICATE='{certificates[accounts[host]]}'" in handed
        assert f"CLIENT_KEY='{keys[accounts[host]]}'" in handed
        # No host has another's.
        assert not [name for name in every if name != accounts[host] and keys[name] in handed]
    settings = stdin(asked, "registry-settings")
    assert "verify required" in settings
    assert f"AUTHORITY='{OLD}'" in settings


def test_a_registry_that_does_not_ask_makes_none() -> None:
    plain = program()
    assert not [name for name in plain.resources if "registry-client" in name]
    assert "verify required" not in stdin(plain, "registry-settings")
    assert "CLIENT_CERTIFICATE=''\n" in stdin(plain, "yard-setup")
    assert plain.outputs["registryClientCertificates"] == {}
    assert plain.outputs["registryClientKeys"] == Secret({})


@pytest.mark.parametrize(("before", "waits"), [({}, False), ({"images": {}}, True)])
def test_a_running_registry_asks_only_once_all_hosts_have_theirs(
    before: Mapping[str, object], waits: bool
) -> None:
    waited = {
        urn.rpartition("::")[2] for urn in asking(**before).named("registry-settings").request.dependencies
    }
    assert ("web-1-setup" in waited) == waits


class TestReadingAStateThatIsBeingWritten:
    """The engine writes the state of a backend of files while the program asks for it."""

    @staticmethod
    def _failing(monkeypatch: pytest.MonkeyPatch, times: int, message: str) -> list[str]:
        asked: list[str] = []

        def invoke(token: str, arguments: dict[str, str]) -> SimpleNamespace:
            asked.append(arguments["name"])
            if len(asked) <= times:
                raise Exception(message)  # as Pulumi does
            return SimpleNamespace(value={"outputs": {"engineCaGeneration": 2}})

        monkeypatch.setattr(pulumi.runtime, "invoke", invoke)
        return asked

    def test_it_is_read_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = self._failing(monkeypatch, 3, "invoke failed: failed to load checkpoint: EOF")
        assert previous_outputs.outputs_of("o/p/s") == {"engineCaGeneration": 2}
        assert asked == ["o/p/s"] * 4

    def test_another_failure_is_said_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = self._failing(monkeypatch, 1, "no access")
        with pytest.raises(Exception, match="no access"):
            previous_outputs.outputs_of("o/p/s")
        assert len(asked) == 1
