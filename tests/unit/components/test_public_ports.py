"""Ports that services publish on their hosts: in the containers, beside local hosts, in firewalls and outputs."""

import json
import shlex
from typing import Any

import pytest

from configuration.containers import HealthCheck
from configuration.services import ServiceSettings
from tests.unit.program import Program, run

BUILD = {"build": {"context": "app/base"}}


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


def program(**ports: Any) -> Program:
    service = {**BUILD, "ports": ports} if ports else BUILD
    return run(json.dumps({"services": {"dns": service | {"hosts": ["web-2"]}}}), "{}")


def test_a_container_publishes_them_and_is_stopped_first() -> None:
    found = program(public=["8053:80", "5353:53/udp"], private=[6000], local=["9000"])
    container = found.named("dns-web-2", "Container").inputs
    published = [
        (port["internal"], port["external"], port.get("ip"), port.get("protocol"))
        for port in container["ports"]
    ]
    assert published == [
        (6000, 6000, None, None),
        (80, 8053, None, "tcp"),
        (53, 5353, None, "udp"),
        (9000, 9000, "127.0.0.1", "tcp"),
    ]
    labels = {label["label"]: label["value"] for label in container["labels"]}
    assert labels["slipway.ports"] == "6000 8053:80/tcp 5353:53/udp 127.0.0.1:9000:9000/tcp"
    assert "order=stop-first" in found.named("dns-web-2-switch").inputs["create"]
    assert found.outputs["servicePorts"] == {"dns": ["127.0.0.1:8055/tcp", "127.0.0.1:5355/udp"]}


def test_a_local_host_has_a_container_beside_it_for_each_public_port() -> None:
    found, plain = program(public=["8053:80", "5353:53/udp"], local=[9000]), program()
    beside = {*found.resources} - {*plain.resources}
    assert {name.partition("::")[2] for name in beside} == {"web-2.8053-tcp", "web-2.5353-udp"}
    assert found.named("web-2", "Container").inputs == plain.named("web-2", "Container").inputs
    tcp, udp = (found.named(f"web-2.{port}", "Container").inputs for port in ("8053-tcp", "5353-udp"))
    assert tcp["ports"] == [{"internal": 8053, "external": 8055, "ip": "127.0.0.1"}]
    assert tcp["command"][-1] == "web-2:8053"
    assert udp["ports"] == [{"internal": 5353, "external": 5355, "ip": "127.0.0.1", "protocol": "udp"}]
    assert udp["command"][-1].startswith("host=web-2 port=5353\n")


@pytest.mark.parametrize(
    ("ports", "own"),
    [({"public": ["8053:80", "5353:53/udp"], "local": [9000]}, "5353/udp,8053"), ({"local": [9000]}, "")],
)
def test_containers_of_a_host_reach_its_public_ports(ports: dict[str, Any], own: str) -> None:
    found = program(**ports)

    def firewall(host: str) -> list[str]:
        setup = found.named(f"{host}-setup").inputs["stdin"].value
        (line,) = [line for line in setup.splitlines() if line.startswith("FIREWALL=")]
        return shlex.split(shlex.split(line)[0].removeprefix("FIREWALL="))

    assert firewall("web-2")[0] == f"{own}="
    assert firewall("web-1")[0] == "="


@pytest.mark.parametrize(
    ("ports", "check"),
    [
        ({"public": ["5353:53/udp", "8053:80"]}, HealthCheck(tcp=80)),
        ({"local": ["9000:9001"]}, HealthCheck(tcp=9001)),
        ({"public": ["5353:53/udp"]}, HealthCheck(none=True)),
        ({}, None),
    ],
)
def test_the_first_tcp_port_tells_whether_it_is_healthy(
    ports: dict[str, Any], check: HealthCheck | None
) -> None:
    assert ServiceSettings.model_validate(BUILD | {"ports": ports}).own_check == check
