"""Which services can answer in a neighbour's place."""

from typing import Any

import pytest

from components.raw_packets import pretenders
from tests.unit.components.test_firewall import settings_of


@pytest.mark.parametrize(
    ("shop", "expected"),
    [
        ({}, {}),
        ({"capabilities": ["NET_RAW"]}, {"shop": ["web"]}),
        ({"capabilities": ["CHOWN", "NET_ADMIN"]}, {"shop": ["web"]}),
        ({"capabilities": ["CHOWN", "NET_BIND_SERVICE"]}, {}),
        ({"capabilities": ["NET_RAW"], "hosts": ["web-2"]}, {}),
    ],
)
def test_a_service_with_raw_packets_pretends_to_be_its_neighbours(
    shop: dict[str, Any], expected: dict[str, list[str]]
) -> None:
    build = {"context": "app/base"}
    services = {
        "web": {"build": build, "hosts": ["web-1"]},
        "shop": {"build": build, "domains": ["shop.example.com"], "hosts": ["web-1", "web-2"], **shop},
    }
    hosts = {
        "yard": {"roles": ["registry", "build"]},
        "web-1": {"roles": ["app"]},
        "web-2": {"roles": ["app"]},
    }
    assert pretenders(settings_of(services=services, hosts=hosts)) == expected
