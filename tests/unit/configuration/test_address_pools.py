"""The networks of containers lie apart from those that the settings name."""

import ipaddress
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configuration.address_pools import FIRST, chosen, daemon_settings
from configuration.load import validate
from configuration.settings import StackSettings


def on_aws(**platform: Any) -> StackSettings:
    return validate(
        {
            "platform": {
                "kind": "aws",
                "region": "eu-central-1",
                "adminCidrs": ["192.168.7.0/24"],
                **platform,
            },
            "passwords": {"hosts": "a-secret-password"},
        }
    )


def pools(settings: StackSettings) -> list[str]:
    return [str(pool) for pool in settings.address_pools]


def test_the_engine_keeps_its_own_pools_where_nothing_clashes() -> None:
    assert pools(on_aws()) == []
    assert pools(on_aws(adminCidrs=["203.0.114.7/32"], network={"cidr": "10.0.0.0/16"})) == []
    assert pools(validate({"passwords": {"hosts": "a-secret-password"}})) == []
    assert daemon_settings(()) == ""


@pytest.mark.parametrize(
    ("platform", "pool"),
    [
        ({"adminCidrs": ["172.18.0.0/16"]}, "172.21.0.0/16"),
        ({"adminCidrs": ["172.18.0.0/15"]}, "172.21.0.0/16"),
        ({"adminCidrs": ["172.18.9.1/32", "172.20.0.0/14"]}, "172.24.0.0/16"),
        (
            {"network": {"cidr": "172.19.0.0/20"}, "adminCidrs": ["172.20.0.0/14", "172.24.0.0/13"]},
            "10.213.0.0/16",
        ),
        ({"addressPools": ["10.9.0.0/16", "10.11.0.0/16"]}, "10.9.0.0/16"),
    ],
)
def test_a_clash_moves_them(platform: dict[str, Any], pool: str) -> None:
    assert pools(on_aws(**platform))[0] == pool


def test_the_daemon_reads_them() -> None:
    lines = daemon_settings([ipaddress.ip_network("172.21.0.0/16")])
    assert json.loads("{" + lines + '"last": 1}') == {
        "bip": "172.21.0.1/24",
        "default-address-pools": [{"base": "172.21.0.0/16", "size": 24}],
        "last": 1,
    }


private = st.sampled_from(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]).flatmap(
    lambda text: st.ip_addresses(network=text).flatmap(
        lambda address: st.integers(9, 30).map(
            lambda prefix: ipaddress.ip_network(f"{address}/{prefix}", strict=False)
        )
    )
)


@given(st.lists(private, max_size=4))
def test_what_is_chosen_clashes_with_nothing(known: list[Any]) -> None:
    found = chosen(known)
    assert not any(pool.overlaps(network) for pool in found for network in known)
    if not found:
        free = not any(pool.overlaps(network) for pool in FIRST for network in known)
        assert free or len(known) > 1, "one network leaves room for a pool"


@pytest.mark.parametrize("named", [["172.28.0.0/16"], []])
def test_the_hosts_script_writes_them(named: list[str]) -> None:
    script = (Path(__file__).parents[3] / "components/scripts/engine.sh").read_text(encoding="utf-8")
    start = script.index("daemon_json() {")
    function = script[start : script.index("\nJSON\n}\n", start) + len("\nJSON\n}\n")]
    lines = daemon_settings([ipaddress.ip_network(text) for text in named])
    given = f"ADDRESS_POOLS={shlex.quote(lines)}\n" if named else ""
    text = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\nINSECURE_REGISTRY=\n{given}{function}daemon_json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(text).get("bip") == ("172.28.0.1/24" if named else None)
    assert text.startswith("{\n" + lines + '  "insecure-registries": [],\n  "live-restore": true,\n'), (
        "as it was without pools"
    )
