"""What the program makes of a stack's file, as `slip` asks for it."""

import json
from pathlib import Path

import pytest

from configuration.base import STAND_IN
from configuration.in_force import report

ROOT = Path(__file__).parents[3]
EXTERNAL = "{external: {server: registry.example.com, username: team}}"


@pytest.mark.parametrize(
    "registry", ["{users: [alice], port: 5443}", EXTERNAL], ids=["own registry", "external registry"]
)
def test_what_is_encrypted_or_has_no_value_yet_is_no_mistake(registry: str) -> None:
    text = f"""
config:
  slipway:registry: {registry}
  slipway:services: {{web: {{build: {{context: app/base}}, secrets: [A, B]}}}}
  slipway:secrets: {{A: {{secure: 'v1:eA==:eA=='}}}}
"""
    found = report(text, "test", ROOT)
    assert found["problems"] == []
    assert STAND_IN not in str(found)


def test_values_in_force_are_given_default_and_derived() -> None:
    text = """
config:
  slipway:platform: '{"kind": "local", "portOffset": 200}'
  slipway:hosts: {yard: {roles: [registry, build]}, web-2: {roles: [app]}, web-1: {roles: [app], slot: 7}}
  slipway:services: {web: {build: {context: app/base}, port: 3000}}
"""
    found = report(text, "test", ROOT)
    assert found["settings"]["services"]["web"]["port"] == 3000
    assert found["derived"] == {
        "slipway:registry.port": 5200,
        "slipway:hosts.yard.slot": 0,
        "slipway:hosts.web-2.slot": 2,
        "slipway:services.web.hosts": ["web-1", "web-2"],
        "slipway:services.web.health": "/up",
    }


@pytest.mark.parametrize(
    ("service", "tls"),
    [
        ("domain: shop.example.com", "own"),
        ("domain: shop.example.com, tls: 'off'", None),
        ("port: 3000", None),
    ],
)
def test_who_vouches_for_a_name_is_told_though_no_line_says_it(service: str, tls: str | None) -> None:
    text = f"config: {{slipway:services: {{web: {{build: {{context: app/base}}, {service}}}}}}}"
    found = report(text, "test", ROOT)
    assert found["problems"] == []
    assert found["derived"].get("slipway:services.web.tls") == tls


def test_on_aws_a_host_has_what_the_platform_says() -> None:
    text = """
config:
  slipway:platform: {kind: aws, region: eu-central-1, adminCidrs: [8.8.8.8/32], instanceType: t3.large}
  slipway:hosts: {box: {roles: [registry, build, app], rootSize: 50}}
"""
    derived = report(text, "test", ROOT)["derived"]
    assert derived["slipway:hosts.box.type"] == "t3.large"
    assert derived["slipway:hosts.box.distribution"] == "debian-12"
    assert "slipway:hosts.box.rootSize" not in derived
    assert derived["slipway:registry.allowedCidrs"] == ["8.8.8.8/32"]


def test_every_mistake_is_told_with_its_path() -> None:
    found = report("config: {slipway:services: {web: {prot: 1, port: 0}}}", "test", ROOT)
    assert found["settings"] is None
    assert [problem["path"] for problem in found["problems"]] == [
        "slipway:services.web.port",
        "slipway:services.web.prot",
        "slipway:services.web.build",
    ]
    assert 'Did you mean "port"?' in found["problems"][1]["text"]


def test_what_services_of_others_have_in_force() -> None:
    text = """
config:
  slipway:services:
    db: {image: "postgres:16", ports: {private: [5432]}, env: {PASSWORD: {secret: DB_PASSWORD}}}
    jobs: {from: db, health: {command: "test -f /x"}}
"""
    found = report(text, "test", ROOT)
    assert found["problems"] == []
    assert found["derived"]["slipway:services.db.health"] == {"tcp": 5432}
    services = json.loads(json.dumps(found["settings"]))["services"]
    assert services["db"]["env"] == {"PASSWORD": {"secret": "DB_PASSWORD"}}
    assert services["jobs"]["health"] == {"command": "test -f /x"}
