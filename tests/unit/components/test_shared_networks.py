"""Networks that services share: one on each host where a service has it."""

import json

import pytest

from tests.unit.program import Secret, run

BUILD = {"context": "app/base"}
SERVICES = {
    "web": {"build": BUILD, "networks": ["backend"]},
    "cache": {"from": "web", "hosts": ["web-2"], "health": {"none": True}, "networks": ["backend", "audit"]},
    "alone": {"from": "web", "hosts": ["web-2"], "health": {"none": True}},
}


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


def test_each_host_has_its_own_and_a_service_is_known_by_its_name() -> None:
    found = run(json.dumps({"services": SERVICES}), "{}")
    made = {urn.partition("::")[2] for urn in found.resources if "/network:" in urn and "-shared-" in urn}
    assert made == {"web-1-shared-backend", "web-2-shared-backend", "web-2-shared-audit"}

    def networks(container: str) -> list[tuple[str, list[str] | None]]:
        given = found.named(container, "Container").inputs["networksAdvanced"]
        assert not isinstance(given, Secret)
        return [(network["name"], network.get("aliases")) for network in given]

    ((first, _), *shared) = networks("cache-web-2")
    assert "proxy-network" in first
    assert [(name.partition("-shared-")[2][:5], aliases) for name, aliases in shared] == [
        ("backe", ["cache"]),
        ("audit", ["cache"]),
    ]
    # The scripts take the first address by the networks' names.
    assert all(name > first for name, _ in shared)
    assert len(networks("web-web-1")) == 2
    assert len(networks("alone-web-2")) == 1
