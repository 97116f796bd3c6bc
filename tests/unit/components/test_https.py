"""HTTPS of services: whose certificate each gets, how it comes to the hosts, and where visitors then go."""

import json
from typing import Any

import pytest

from tests.unit.program import Program, Secret, run

BUILD = {"context": "app", "base": {"context": "app/base"}}
NAMED = {"build": BUILD, "domains": ["shop.example.com", "*.example.com"]}


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


def program(services: dict[str, Any], before: dict[str, Any] | None = None, **changes: Any) -> Program:
    return run(json.dumps({"services": services, **changes}), json.dumps(before or {}))


def stdin(of: Program, name: str) -> str:
    handed = of.named(name, "Command").inputs["stdin"]
    assert isinstance(handed, Secret)
    return str(handed.value)


def test_a_name_on_this_machine_has_https_and_a_service_without_one_has_not() -> None:
    found = program({"shop": NAMED, "web": {"build": BUILD}})
    request = found.named("shop-https-request").inputs
    assert (request["dnsNames"], request["ipAddresses"]) == (["shop.example.com", "*.example.com"], [])
    assert (
        found.named("shop-https-certificate").inputs["caCertPem"] == "certificate of services-ca-certificate"
    )
    assert not [name for name in found.resources if "web-https" in name]
    assert found.outputs["serviceTls"] == {"shop": "own"}
    assert found.outputs["servicesCaCertificate"] == "certificate of services-ca-certificate"
    assert found.outputs["servicesCaGeneration"] == 1
    assert found.outputs["serviceUrls"] == {
        "shop": [
            f"https://{name}:{port}/"
            for name in ("shop.example.com", "*.example.com")
            for port in (8444, 8445)
        ],
        "web": ["http://127.0.0.1:8081/", "http://127.0.0.1:8082/"],
    }
    assert found.outputs["serviceEndpoints"]["shop"] == ["127.0.0.1:8444", "127.0.0.1:8445"]


def test_a_certificate_comes_to_each_host_before_its_name_leads_to_https() -> None:
    found = program({"shop": NAMED})
    for host, port in (("web-1", 8444), ("web-2", 8445)):
        handed = stdin(found, f"{host}-certificates")
        assert "service shop\ncertificate of shop-https-certificateprivate key of shop-https-key" in handed
        command = found.named(f"{host}-certificates", "Command").inputs
        assert "private key" not in command["create"]
        switch = found.named(f"shop-{host}-switch").inputs["create"]
        assert f" https={port}" in (switch.value if isinstance(switch, Secret) else switch)
        waits = found.named(f"shop-{host}", "Container").request.dependencies
        assert any(urn.endswith(f"::{host}-certificates") for urn in waits)
        assert found.named(f"{host}-routes").inputs["create"].endswith(" certificates=shop")


def test_the_port_is_published_beside_the_host_and_only_with_https() -> None:
    found, plain = program({"shop": NAMED}), program({"shop": NAMED | {"tls": "off"}})
    (port,) = found.named("web-1.https", "Container").inputs["ports"]
    assert (port["internal"], port["external"], port["ip"]) == (443, 8444, "127.0.0.1")
    for host in ("web-1", "web-2", "yard"):
        ports = found.named(host, "Container").inputs["ports"]
        assert ports == plain.named(host, "Container").inputs["ports"], "the host would be replaced"
    gone = {*found.resources} - {*plain.resources}
    assert {name.partition("::")[2] for name in gone} == {
        "services-ca",
        *(f"services-ca-{part}" for part in ("key", "certificate")),
        "shop-https",
        *(f"shop-https-{part}" for part in ("key", "request", "certificate")),
        *(f"{host}{what}" for host in ("web-1", "web-2") for what in (".https", "-certificates")),
    }
    assert plain.outputs["servicesCaCertificate"] == ""
    assert plain.outputs["serviceTls"] == {}


def had(generation: int) -> dict[str, Any]:
    """The outputs of a stack whose authority signs certificates."""
    return {"servicesCaGeneration": generation, "servicesCaCertificate": "a certificate"}


def test_a_rotation_of_the_services_authority_takes_two_updates() -> None:
    rotated = {"certificates": {"servicesCaGeneration": 2}}
    first = program({"shop": NAMED}, had(1), **rotated)
    old, new = "certificate of services-ca-certificate", "certificate of services-ca-2-certificate"
    assert first.outputs["servicesCaCertificate"] == f"{new}{old}"
    assert "certificate of services-ca-2-cross-certificate" in stdin(first, "web-1-certificates")
    assert first.outputs["servicesCaGeneration"] == 2
    second = program({"shop": NAMED}, had(2), **rotated)
    assert second.outputs["servicesCaCertificate"] == new
    assert "cross" not in stdin(second, "web-1-certificates")


def test_a_stack_that_had_no_such_authority_begins_with_any_generation() -> None:
    changes = {"certificates": {"servicesCaGeneration": 3}}
    found = program({"shop": NAMED}, {"images": {}, "servicesCaGeneration": 1}, **changes)
    assert found.outputs["servicesCaCertificate"] == "certificate of services-ca-3-certificate"
    assert found.outputs["servicesCaGeneration"] == 3


def test_hsts_is_told_only_if_it_is_set() -> None:
    assert " hsts=" not in program({"shop": NAMED}).named("shop-web-1-switch").inputs["create"]
    told = program({"shop": NAMED | {"hsts": 300}}).named("shop-web-1-switch").inputs["create"]
    assert told.endswith(" https=8444 hsts=300")
