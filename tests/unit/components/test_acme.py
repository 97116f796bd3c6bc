"""Certificates by ACME in the program: what answers challenges, what is ordered, and when it is ordered again."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from components.acme import renewals
from configuration.acme import LETS_ENCRYPT, STAGING
from tests.unit.program import ORDERED, Program, Secret, run

BUILD = {"context": "app", "base": {"context": "app/base"}}
SHOP: dict[str, Any] = {
    "build": BUILD,
    "domains": ["shop.example.com", "www.example.com"],
    "tls": "auto",
    "hosts": ["web-1"],
}
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


def program(services: dict[str, Any], before: dict[str, Any] | None = None, **changes: Any) -> Program:
    return run(json.dumps({"services": services, **changes}), json.dumps(before or {}))


def ordered(of: Program, name: str = "shop") -> dict[str, Any]:
    handed = of.named(f"{name}-acme-order", "Command").inputs["stdin"]
    assert isinstance(handed, Secret)
    found: dict[str, Any] = json.loads(handed.value)
    return found


def test_the_hosts_answer_before_anything_is_ordered_and_the_certificate_follows() -> None:
    found = program({"shop": SHOP, "web": {"build": BUILD, "domains": ["web.test"]}})
    order = found.named("shop-acme-order", "Command")
    assert order.inputs["create"] == "exec .venv/bin/python -m components.acme.order"
    assert ordered(found) == {
        "service": "shop",
        "directory": LETS_ENCRYPT,
        "directoryCa": "",
        "email": "",
        "eab": None,
        "names": ["shop.example.com", "www.example.com"],
        "order": 1,
        "accountKey": "private key of acme-account-key",
        "key": "private key of shop-acme-key",
    }
    assert [urn.rpartition("::")[2] for urn in order.request.dependencies if "web-1-acme" in urn]
    answer = found.named("web-1-acme", "Command").inputs["stdin"]
    assert isinstance(answer, Secret)
    assert answer.value.startswith("THUMBPRINT=")
    assert "private key" not in answer.value
    handed = found.named("web-1-certificates", "Command").inputs["stdin"]
    assert "service shop\nchain\nprivate key of shop-acme-key" in handed.value
    # The other host has no service with such a certificate.
    assert not [name for name in found.resources if "web-2-acme" in name]
    assert found.named("web-1-routes").inputs["create"].endswith(" certificates=shop,web acme=yes")
    assert found.named("web-2-routes").inputs["create"].endswith(" certificates=web")
    assert found.outputs["serviceTls"] == {"shop": "acme", "web": "own"}
    assert found.outputs["acmeCertificates"] == {
        "shop": {"order": 1, "renewAfter": ORDERED["renewAfter"], "problem": ""}
    }


def test_a_stack_without_such_a_service_has_nothing_of_it() -> None:
    found = program({"web": {"build": BUILD, "domains": ["web.test"]}})
    assert not [name for name in found.resources if "acme" in name]
    assert found.outputs["acmeCertificates"] == {}


def test_services_with_the_same_names_share_a_certificate() -> None:
    api = SHOP | {"path": "/api", "domains": SHOP["domains"][::-1], "hosts": ["web-2"]}
    found = program({"api": api, "shop": SHOP})
    assert not [name for name in found.resources if name.endswith("::shop-acme-order")]
    dependencies = " ".join(found.named("api-acme-order", "Command").request.dependencies)
    assert "::web-1-acme" in dependencies
    assert "::web-2-acme" in dependencies
    handed = found.named("web-1-certificates", "Command").inputs["stdin"]
    assert "service shop\nchain\nprivate key of api-acme-key" in handed.value


def test_behind_edges_it_is_these_that_answer_and_have_the_certificate() -> None:
    hosts = {
        "yard": {"roles": ["registry", "build"]},
        "edge": {"roles": ["edge"], "slot": 9},
        "web-1": {"roles": ["app"]},
    }
    found = program({"shop": SHOP}, hosts=hosts)
    dependencies = " ".join(found.named("shop-acme-order", "Command").request.dependencies)
    assert "::edge-acme" in dependencies
    assert not [name for name in found.resources if "web-1-acme" in name or "web-1-certificates" in name]
    handed = found.named("edge-certificates", "Command").inputs["stdin"]
    assert "service shop\nchain\nprivate key of shop-acme-key" in handed.value
    assert "ACME=yes" in found.named("edge-backends").inputs["stdin"].value


def test_with_records_the_hosts_answer_nothing_and_one_order_follows_another() -> None:
    wild = SHOP | {"domains": ["*.example.com", "example.com"]}
    found = program({"shop": SHOP, "wild": wild}, acme={"dns": "route53"})
    assert (ordered(found)["dns"], ordered(found, "wild")["names"]) == (True, wild["domains"])
    assert not [name for name in found.resources if "web-1-acme" in name]
    assert "acme=yes" not in found.named("web-1-routes").inputs["create"]
    # Both may make the same record.
    dependencies = found.named("wild-acme-order", "Command").request.dependencies
    assert any(urn.endswith("::shop-acme-order") for urn in dependencies)


def test_an_authority_of_ones_own_and_staging(tmp_path: Any) -> None:
    acme = {
        "directory": "https://acme.example.com/dir",
        "email": "ops@example.com",
        "eab": {"kid": "kid-1", "key": "EAB"},
    }
    secrets = {"EAB": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajV"}
    found = ordered(program({"shop": SHOP}, acme=acme, secrets=secrets))
    assert (found["directory"], found["email"]) == ("https://acme.example.com/dir", "ops@example.com")
    assert found["eab"] == ["kid-1", secrets["EAB"]]
    staging = ordered(
        program({"shop": SHOP | {"tls": {"auto": "staging"}}}, acme={"email": "ops@example.com"})
    )
    assert (staging["directory"], staging["eab"]) == (STAGING, None)


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        (None, 1),
        ({}, 1),
        ({"order": 3, "renewAfter": "2026-06-02T00:00:00+00:00", "problem": ""}, 3),
        ({"order": 3, "renewAfter": "2026-06-01T00:00:00+00:00", "problem": ""}, 4),
        ({"order": 3, "renewAfter": "2026-06-02T00:00:00+00:00", "problem": "refused"}, 4),
        ({"order": 3, "renewAfter": "nonsense", "problem": ""}, 3),
    ],
)
def test_a_certificate_is_ordered_again_when_it_is_due_or_was_refused(
    previous: object, expected: int
) -> None:
    assert renewals.number(previous, NOW) == expected


def test_an_update_orders_again_by_what_the_last_one_left() -> None:
    due = {
        "acmeCertificates": {"shop": {"order": 2, "renewAfter": "2020-01-01T00:00:00+00:00", "problem": ""}}
    }
    assert ordered(program({"shop": SHOP}, due))["order"] == 3
    fresh = {
        "acmeCertificates": {"shop": {"order": 2, "renewAfter": "2999-01-01T00:00:00+00:00", "problem": ""}}
    }
    assert ordered(program({"shop": SHOP}, fresh))["order"] == 2
