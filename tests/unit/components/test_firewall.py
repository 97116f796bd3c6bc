"""The firewall on AWS: tables of examples, and properties that hold for all settings."""

import ipaddress
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.hosts.aws.firewall import ENGINE, SSH, Rule, groups, groups_of, rules
from configuration.load import validate
from configuration.problems import SettingsError
from configuration.settings import StackSettings
from tests.unit.program import PASSWORDS, ROOT

ADMIN = "192.168.7.0/24"


def settings_of(**changes: Any) -> StackSettings:
    configuration: dict[str, Any] = {
        "platform": {"kind": "aws", "region": "eu-central-1", "adminCidrs": [ADMIN]},
        "hosts": {
            "depot": {"roles": ["registry"]},
            "yard": {"roles": ["build"]},
            "web-1": {"roles": ["app"]},
        },
        "services": {"web": {"build": {"context": "app/base"}}},
        "passwords": PASSWORDS,
    }
    return validate(configuration | changes, ROOT)


def lines(found: list[Rule], direction: str = "ingress") -> set[str]:
    return {
        f"{rule.group}: {rule.protocol} {rule.port} {rule.peer or rule.network}"
        for rule in found
        if rule.direction == direction
    }


def test_only_necessary_traffic_comes_in() -> None:
    assert lines(rules(settings_of())) == {
        f"host: tcp 22 {ADMIN}",
        f"host: tcp 2376 {ADMIN}",
        f"registry: tcp 5000 {ADMIN}",
        "registry: tcp 5000 app",
        "registry: tcp 5000 build",
        "http: tcp 80 0.0.0.0/0",
        "http: tcp 443 0.0.0.0/0",
    }


def test_behind_an_edge_app_hosts_hear_nobody_else() -> None:
    found = settings_of(
        hosts={
            "depot": {"roles": ["registry"]},
            "yard": {"roles": ["build"]},
            "web-1": {"roles": ["app"]},
            "edge": {"roles": ["edge"]},
        }
    )
    assert groups_of(found, "web-1") == ["host", "app"]
    assert groups_of(found, "edge") == ["host", "edge", "http"]
    assert lines(rules(found)) - lines(rules(settings_of())) == {"app: tcp 80 edge"}


def test_only_app_hosts_reach_everything() -> None:
    assert lines(rules(settings_of()), "egress") == {
        "host: tcp 80 0.0.0.0/0",
        "host: tcp 443 0.0.0.0/0",
        "host: tcp 53 0.0.0.0/0",
        "host: udp 53 0.0.0.0/0",
        "build: tcp 5000 registry",
        "app: -1 None 0.0.0.0/0",
    }


def test_each_host_is_in_the_groups_of_its_roles_and_services() -> None:
    settings = settings_of()
    assert groups_of(settings, "depot") == ["host", "registry"]
    assert groups_of(settings, "yard") == ["host", "build"]
    assert groups_of(settings, "web-1") == ["host", "app", "http"]


def test_a_registry_without_services_has_no_groups_for_them() -> None:
    alone = settings_of(hosts={"depot": {"roles": ["registry"]}}, services={})
    assert list(groups(alone)) == ["host", "registry"]
    assert {rule.port for rule in rules(alone) if rule.direction == "ingress"} == {22, 2376, 5000}


def test_the_registrys_own_networks_take_the_place_of_the_administrators() -> None:
    opened = settings_of(registry={"allowedCidrs": ["10.20.0.0/16", "2001:db8::/32"], "port": 443})
    assert {line for line in lines(rules(opened)) if line.startswith("registry")} == {
        "registry: tcp 443 10.20.0.0/16",
        "registry: tcp 443 2001:db8::/32",
        "registry: tcp 443 app",
        "registry: tcp 443 build",
    }
    closed = settings_of(registry={"allowedCidrs": []})
    assert {line for line in lines(rules(closed)) if line.startswith("registry")} == {
        "registry: tcp 5000 app",
        "registry: tcp 5000 build",
    }


def test_a_services_networks_are_those_of_its_hosts_alone() -> None:
    build = {"context": "app/base"}
    settings = settings_of(
        hosts={
            "depot": {"roles": ["registry", "build"]},
            "web-1": {"roles": ["app"]},
            "web-2": {"roles": ["app"]},
        },
        services={
            "shop": {"build": build, "hosts": ["web-1"]},
            "admin": {"build": build, "hosts": ["web-2"], "allowedCidrs": [ADMIN]},
        },
    )
    assert groups_of(settings, "web-1") == ["host", "app", "http"]
    assert groups_of(settings, "web-2") == ["host", "app", "http-admin"]
    assert {line for line in lines(rules(settings)) if line.startswith("http")} == {
        "http: tcp 80 0.0.0.0/0",
        "http: tcp 443 0.0.0.0/0",
        f"http-admin: tcp 80 {ADMIN}",
        f"http-admin: tcp 443 {ADMIN}",
    }


def test_a_host_of_many_services_is_in_no_more_groups_than_ec2_allows() -> None:
    build = {"context": "app/base"}
    services = {f"s{n}": {"build": build, "domain": f"s{n}.example.com"} for n in range(8)}
    settings = settings_of(hosts={"box": {"roles": ["registry", "build", "app"]}}, services=services)
    assert groups_of(settings, "box") == ["host", "registry", "build", "app", "http"]


def test_the_name_of_a_rule_does_not_depend_on_other_rules() -> None:
    def names(*admins: str) -> set[str]:
        platform = {"kind": "aws", "region": "eu-central-1", "adminCidrs": list(admins)}
        return {rule.name for rule in rules(settings_of(platform=platform))}

    assert names("10.1.0.0/16") < names("10.9.0.0/16", "10.1.0.0/16")
    assert "host-ssh-from-10.1.0.0-16" in names("10.1.0.0/16")


def network_of(pair: tuple[Any, int]) -> str:
    return str(ipaddress.ip_network(pair, strict=False))


narrow = st.one_of(
    st.ip_addresses().map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(8, 32)).map(network_of),
    st.tuples(st.ip_addresses(v=6), st.integers(20, 128)).map(network_of),
)
wide = st.one_of(
    st.sampled_from(["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "2000::/3", "8.0.0.0/8", "9.0.0.0/8"]),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 12)).map(network_of),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 24)).map(network_of),
)
LAYOUTS = (
    {"box": ["registry", "build", "app"]},
    {"depot": ["registry"], "yard": ["build"], "web-1": ["app"], "web-2": ["app"]},
    {"yard": ["registry", "build"], "web-1": ["app"]},
    {"yard": ["build"], "web-1": ["registry", "app"]},
)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Settings that are mostly valid; invalid ones have invalid networks."""
    networks = st.one_of(narrow, wide) if draw(st.integers(0, 4)) == 0 else narrow
    hosts = {name: {"roles": roles} for name, roles in draw(st.sampled_from(LAYOUTS)).items()}
    clients = {"allowedCidrs": draw(st.lists(st.one_of(narrow, wide), min_size=1, max_size=3, unique=True))}
    services: dict[str, Any] = {
        f"s{n}": {"build": {"context": "app/base"}, "domain": f"s{n}.example.com", **clients}
        for n in range(draw(st.integers(0, 2)))
    }
    registry: dict[str, Any] = {}
    if draw(st.booleans()):
        registry["allowedCidrs"] = draw(st.lists(networks, max_size=4, unique=True))
    if draw(st.booleans()):
        registry["port"] = draw(st.sampled_from([22, 80, 443, 2376]) | st.integers(1, 65535))
    admins = draw(st.lists(networks, min_size=1, max_size=4, unique=True))
    return {
        "platform": {"kind": "aws", "region": "eu-central-1", "adminCidrs": admins},
        "hosts": hosts,
        "registry": registry,
        "services": services,
        "passwords": PASSWORDS,
    }


def admitted(settings: StackSettings, host: str, port: int) -> Iterator[str]:
    """The networks from which this port of a host is reached."""
    own = set(groups_of(settings, host))
    for rule in rules(settings):
        fits = rule.direction == "ingress" and rule.group in own and rule.port in (None, port)
        if fits and rule.network is not None:
            yield rule.network


def widest(networks: Iterator[str]) -> dict[int, int]:
    """The shortest prefix by IP version, after networks that lie side by side were joined."""
    found = {4: 32, 6: 128}
    for version, group in itertools.groupby(
        sorted(map(ipaddress.ip_network, networks), key=lambda network: network.version),
        key=lambda network: network.version,
    ):
        for network in ipaddress.collapse_addresses(list(group)):  # type: ignore[type-var]
            found[version] = min(found[version], network.prefixlen)
    return found


@given(configurations())
def test_the_world_never_reaches_ssh_an_engine_or_the_registry(configuration: dict[str, Any]) -> None:
    try:
        settings = validate(configuration, ROOT)
    except SettingsError:
        return  # refused before anything is touched
    for host in settings.hosts:
        closed = [SSH, ENGINE, *([settings.registry_port] if host == settings.registry_host else [])]
        for port in closed:
            prefixes = widest(admitted(settings, host, port))
            assert prefixes[4] >= 8, (host, port)
            assert prefixes[6] >= 20, (host, port)


@given(configurations())
def test_every_rule_is_of_a_group_that_is_there_and_has_a_name_of_its_own(
    configuration: dict[str, Any],
) -> None:
    try:
        settings = validate(configuration, ROOT)
    except SettingsError:
        return
    there, found = groups(settings), rules(settings)
    assert {rule.group for rule in found} | {rule.peer for rule in found if rule.peer} <= there.keys()
    assert len({(rule.direction, rule.name) for rule in found}) == len(found)
    assert all((rule.network is None) != (rule.peer is None) for rule in found)


def test_the_properties_are_tried_on_settings_that_are_right() -> None:
    """Else the two above would prove nothing."""
    right = 0

    @given(configurations())
    def count(configuration: dict[str, Any]) -> None:
        nonlocal right
        try:
            validate(configuration, ROOT)
        except SettingsError:
            return
        right += 1

    count()
    assert right >= 20


@pytest.mark.parametrize(
    ("networks", "allowed"),
    [
        (["10.0.0.0/8"], True),
        (["0.0.0.0/0"], False),
        (["0.0.0.0/7"], False),
        (["0.0.0.0/1", "128.0.0.0/1"], False),
        (["8.0.0.0/8", "9.0.0.0/8"], False),
        (["8.0.0.0/8", "10.0.0.0/8"], True),
        (["2001:db8::/32"], True),
        (["2000::/3"], False),
    ],
)
def test_how_much_of_the_world_may_administer(networks: list[str], allowed: bool) -> None:
    platform = {"kind": "aws", "region": "eu-central-1", "adminCidrs": networks}
    if allowed:
        assert settings_of(platform=platform).platform.admin_cidrs == tuple(networks)
    else:
        with pytest.raises(SettingsError, match="adminCidrs"):
            settings_of(platform=platform)


def test_private_ports_are_open_to_the_hosts_that_run_services() -> None:
    database = {"image": "postgres:16", "hosts": ["web-2"], "ports": {"private": [5432]}}
    settings = settings_of(
        hosts={
            "depot": {"roles": ["registry", "build"]},
            "web-1": {"roles": ["app"]},
            "web-2": {"roles": ["app"]},
        },
        services={"web": {"build": {"context": "app/base"}, "hosts": ["web-1"]}, "db": database},
    )
    added = lines(rules(settings)) - lines(rules(settings_of()))
    assert added == {"app: tcp 5432 app"}
    # Nobody asks its proxy.
    assert groups_of(settings, "web-2") == ["host", "app"]


def test_public_ports_are_open_to_the_services_networks() -> None:
    ports = {"public": ["8443:443", "5353:53/udp"], "local": [9000]}
    service = {"build": {"context": "app/base"}, "ports": ports, "allowedCidrs": [ADMIN]}
    alone = {"name": service | {"hosts": ["web-1"]}, "same": service | {"hosts": ["web-2"]}}
    hosts = {
        "depot": {"roles": ["registry", "build"]},
        "web-1": {"roles": ["app"]},
        "web-2": {"roles": ["app"]},
    }
    found = rules(settings_of(hosts=hosts, services=alone))
    assert lines(found) - lines(rules(settings_of())) == {f"app: tcp 8443 {ADMIN}", f"app: udp 5353 {ADMIN}"}
    assert {rule.name for rule in found if rule.port == 5353} == {"app-name-5353-udp-from-192.168.7.0-24"}


def test_a_host_that_keeps_backups_lets_the_hosts_of_services_in() -> None:
    service = {
        "build": {"context": "app/base"},
        "volumes": {"data": "/data"},
        "backup": {"volumes": ["data"], "to": {"host": "depot"}},
    }
    secrets = {"BACKUP_PASSWORD": "a-password-of-backups"}
    found = lines(rules(settings_of(services={"web": service}, secrets=secrets)))
    assert found - lines(rules(settings_of())) == {"registry: tcp 22 app"}


def test_the_registrys_backups_find_their_way() -> None:
    secrets = dict.fromkeys(("BACKUP_PASSWORD_REGISTRY", "ID", "KEY"), "a-secret-of-backups")

    def added(to: dict[str, str]) -> set[str]:
        found, before = (
            rules(settings_of(registry={"backup": {"to": to}}, secrets=secrets)),
            rules(settings_of()),
        )
        return {
            f"{direction} {line}"
            for direction in ("ingress", "egress")
            for line in lines(found, direction) - lines(before, direction)
        }

    assert added({"host": "web-1"}) == {"ingress app: tcp 22 registry", "egress registry: tcp 22 app"}
    assert not added({"s3": "https://s3.example.com/backups", "keyId": "ID", "key": "KEY"})
    bucket = {"s3": "http://s3.example.com:9000/backups", "keyId": "ID", "key": "KEY"}
    assert added(bucket) == {"egress registry: tcp 9000 0.0.0.0/0"}
